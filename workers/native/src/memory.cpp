// Memory: is it all zero, where does it lie, copying it, and what pages it is made of.
#include <sys/mman.h>

#include <cstring>

#include "args.h"
#include "calls.h"

namespace ferry {
namespace {

// Memory is all zero when its first bytes are and every byte equals the one kHead before it.
// That leaves the work to memcmp, which glibc does with the widest vectors this very CPU has, and
// which stops at the first difference; on data that differs early it costs nothing.
bool AllZero(const uint8_t* data, size_t length) {
  constexpr size_t kHead = 64;  // a cache line apart, so that memcmp's two loads never overlap
  const size_t head = length < kHead ? length : kHead;
  for (size_t i = 0; i < head; i++) {
    if (data[i] != 0) return false;
  }
  return length <= kHead || memcmp(data, data + kHead, length - kHead) == 0;
}

Napi::Value IsZero(const Napi::CallbackInfo& info) {
  const Span span = ReadSlice(info, 0);
  return Napi::Boolean::New(info.Env(), AllZero(span.data, span.length));
}

Napi::Value AlignmentOffset(const Napi::CallbackInfo& info) {
  const Span buffer = ReadBuffer(info, 0, "buffer");
  const uint64_t alignment = ReadBytes(info, 1, "alignment");
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    throw Napi::RangeError::New(info.Env(), "alignment must be a power of two; got " + std::to_string(alignment));
  }
  const uint64_t address = reinterpret_cast<uintptr_t>(buffer.data);
  return Napi::Number::New(info.Env(), static_cast<double>((alignment - address % alignment) % alignment));
}

// JavaScript's own copy into shared memory goes byte by byte, each one atomic, where the two are not aligned alike:
// several times slower than this. Nobody else may use what is written meanwhile.
Napi::Value CopyBytes(const Napi::CallbackInfo& info) {
  const Span to = ReadBuffer(info, 0, "to");
  const uint64_t to_offset = ReadBytes(info, 1, "toOffset");
  const Span from = ReadSlice(info, 2);
  if (to_offset > to.length || from.length > to.length - to_offset) {
    throw Napi::RangeError::New(info.Env(), "toOffset + length must lie inside the buffer of " +
                                                std::to_string(to.length) + " bytes; got " +
                                                std::to_string(to_offset) + " + " + std::to_string(from.length));
  }
  if (from.length > 0) memmove(to.data + to_offset, from.data, from.length);
  return info.Env().Undefined();
}

// Frees the memory of a buffer now: the garbage collector would let many of them pile up first, none of them in the
// processor's cache.
Napi::Value Drop(const Napi::CallbackInfo& info) {
  const Napi::Value value = info[0];
  if (!value.IsArrayBuffer()) throw Napi::TypeError::New(info.Env(), "memory must be an ArrayBuffer");
  // What cannot be detached is left to the collector.
  napi_detach_arraybuffer(info.Env(), value);
  return info.Env().Undefined();
}

// Huge pages: direct I/O pins and maps one page where it would pin 512. A wish; the kernel may know none.
Napi::Value AdviseHugePages(const Napi::CallbackInfo& info) {
  const Span buffer = ReadBuffer(info, 0, "buffer");
  if (buffer.length > 0) madvise(buffer.data, buffer.length, MADV_HUGEPAGE);
  return info.Env().Undefined();
}

}  // namespace

void AddMemoryCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("isZero", Napi::Function::New<IsZero>(env, "isZero"));
  exports.Set("copyBytes", Napi::Function::New<CopyBytes>(env, "copyBytes"));
  exports.Set("drop", Napi::Function::New<Drop>(env, "drop"));
  exports.Set("adviseHugePages", Napi::Function::New<AdviseHugePages>(env, "adviseHugePages"));
  exports.Set("alignmentOffset", Napi::Function::New<AlignmentOffset>(env, "alignmentOffset"));
}

}  // namespace ferry
