#include "args.h"

#include <climits>
#include <cmath>

namespace ferry {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;  // 2^53 - 1

std::string Describe(const Napi::Value& value) {
  if (value.IsString()) return "a string";
  if (value.IsObject()) return "an object";
  if (value.IsBigInt()) return "a bigint";
  if (value.IsSymbol()) return "a symbol";
  return value.ToString().Utf8Value();  // undefined, null, true, 1.5
}

double ReadWhole(const Napi::CallbackInfo& info, size_t index, const char* name, double max, const char* max_text) {
  const Napi::Value value = info[index];
  const std::string expected = std::string(name) + " must be a whole number from 0 to " + max_text + "; got ";
  if (!value.IsNumber()) {
    throw Napi::TypeError::New(info.Env(), expected + Describe(value));
  }
  const double number = value.As<Napi::Number>().DoubleValue();
  // NaN fails the first comparison.
  if (!(number >= 0 && number <= max) || std::trunc(number) != number) {
    throw Napi::RangeError::New(info.Env(), expected + Describe(value));
  }
  return number;
}

}  // namespace

uint64_t ReadBytes(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<uint64_t>(ReadWhole(info, index, name, kMaxSafeInteger, "2^53 - 1"));
}

int ReadInt(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<int>(ReadWhole(info, index, name, INT_MAX, "2^31 - 1"));
}

bool ReadBool(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsBoolean()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be true or false");
  return info[index].As<Napi::Boolean>().Value();
}

std::string ReadPath(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a string");
  std::string path = info[index].As<Napi::String>().Utf8Value();
  if (path.empty() || path.find('\0') != std::string::npos) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " must be a path: not empty and without NUL");
  }
  return path;
}

Span ReadBuffer(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Value value = info[index];
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  // The plain C call: node-addon-api's Uint8Array wraps its ArrayBuffer, and a SharedArrayBuffer is none.
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(info.Env(), value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a Uint8Array");
  }
  return {static_cast<uint8_t*>(data), length};
}

Span ReadSlice(const Napi::CallbackInfo& info, size_t index) {
  const Span buffer = ReadBuffer(info, index, "buffer");
  const uint64_t offset = ReadBytes(info, index + 1, "offset");
  const uint64_t length = ReadBytes(info, index + 2, "length");
  // Both are below 2^53, so that neither the subtraction nor the sum in the message can wrap around.
  if (offset > buffer.length || length > buffer.length - offset) {
    throw Napi::RangeError::New(
        info.Env(), "offset + length must lie inside the buffer of " + std::to_string(buffer.length) + " bytes; got " +
                        std::to_string(offset) + " + " + std::to_string(length));
  }
  // An empty buffer may have no memory; adding to a null pointer would be undefined.
  return {buffer.data == nullptr ? nullptr : buffer.data + offset, static_cast<size_t>(length)};
}

}  // namespace ferry
