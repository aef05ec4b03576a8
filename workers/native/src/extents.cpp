// lseek: where data and holes begin, and where a file or device ends.
// They move the descriptor's own position, which no call of this module uses.
#include <unistd.h>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

Napi::Value Seek(const Napi::CallbackInfo& info, int whence, const char* syscall) {
  const int fd = ReadInt(info, 0, "fd");
  const off_t start = ReadBytes(info, 1, "start");
  const off_t found = RetryInterrupted([&] { return lseek(fd, start, whence); });
  if (found != -1) return Napi::Number::New(info.Env(), static_cast<double>(found));
  // Not a failure but the answer: nothing of that kind is left at or after `start`.
  if (errno == ENXIO) return info.Env().Null();
  throw SystemError(info.Env(), errno, syscall);
}

Napi::Value SeekData(const Napi::CallbackInfo& info) { return Seek(info, SEEK_DATA, "lseek(SEEK_DATA)"); }

Napi::Value SeekHole(const Napi::CallbackInfo& info) { return Seek(info, SEEK_HOLE, "lseek(SEEK_HOLE)"); }

Napi::Value SeekEnd(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const off_t size = RetryInterrupted([&] { return lseek(fd, 0, SEEK_END); });
  if (size == -1) throw SystemError(info.Env(), errno, "lseek(SEEK_END)");
  return Napi::Number::New(info.Env(), static_cast<double>(size));
}

}  // namespace

void AddExtentCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("seekData", Napi::Function::New<SeekData>(env, "seekData"));
  exports.Set("seekHole", Napi::Function::New<SeekHole>(env, "seekHole"));
  exports.Set("seekEnd", Napi::Function::New<SeekEnd>(env, "seekEnd"));
}

}  // namespace ferry
