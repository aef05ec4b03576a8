// Reads the arguments of a call, in order of their index, or throws a TypeError or RangeError that names the bad one.
// Nothing is coerced: '4096', null or 1.5 where bytes are meant is a bug of the caller that must not reach a disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <napi.h>

namespace ferry {

// A whole number from 0 to 2^53 - 1: offsets, lengths and sizes in bytes.
uint64_t ReadBytes(const Napi::CallbackInfo& info, size_t index, const char* name);

// A whole number from 0 to 2^31 - 1: file descriptors, flags, modes, advice.
int ReadInt(const Napi::CallbackInfo& info, size_t index, const char* name);

bool ReadBool(const Napi::CallbackInfo& info, size_t index, const char* name);

// A path for the kernel: not empty, no NUL inside (C would cut it there and open another file).
std::string ReadPath(const Napi::CallbackInfo& info, size_t index, const char* name);

// All of a Uint8Array's memory, over an ArrayBuffer or a SharedArrayBuffer.
// Valid for this call only; a buffer that other threads write to is the caller's business.
struct Span {
  uint8_t* data;
  size_t length;
};
Span ReadBuffer(const Napi::CallbackInfo& info, size_t index, const char* name);

// Three arguments from `index` on: buffer, offset, length. The span of buffer[offset, offset + length).
Span ReadSlice(const Napi::CallbackInfo& info, size_t index);

}  // namespace ferry
