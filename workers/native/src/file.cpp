// Calls on one open file or device: open, close, read, write, allocate, flush.
// All block their thread; the thread pool calls them, the event loop never does.
// Every read and write carries its own position, so threads share a descriptor without harm.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

Napi::Value Open(const Napi::CallbackInfo& info) {
  const std::string path = ReadPath(info, 0, "path");
  const int flags = ReadInt(info, 1, "flags");
  const int mode = info[2].IsUndefined() ? 0666 : ReadInt(info, 2, "mode");
  // O_CLOEXEC: redis-server and qemu children must not keep a target open (and locked) after us.
  const int fd = RetryInterrupted([&] { return open(path.c_str(), flags | O_CLOEXEC, static_cast<mode_t>(mode)); });
  if (fd == -1) throw SystemError(info.Env(), errno, "open");
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  // Not repeated after EINTR: Linux has freed the descriptor by then, and another thread may own its number.
  if (close(fd) == -1 && errno != EINTR) throw SystemError(info.Env(), errno, "close");
  return info.Env().Undefined();
}

Napi::Value Fallocate(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const int mode = ReadInt(info, 1, "mode");
  const off_t start = ReadBytes(info, 2, "start");
  const off_t length = ReadBytes(info, 3, "length");
  // fallocate, never posix_fallocate: glibc's emulation of the latter writes to every block.
  if (RetryInterrupted([&] { return fallocate(fd, mode, start, length); }) == -1) {
    throw SystemError(info.Env(), errno, "fallocate");
  }
  return info.Env().Undefined();
}

Napi::Value Pread(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const Span span = ReadSlice(info, 1);
  const off_t position = ReadBytes(info, 4, "position");
  const ssize_t count = RetryInterrupted([&] { return pread(fd, span.data, span.length, position); });
  if (count == -1) throw SystemError(info.Env(), errno, "pread");
  return Napi::Number::New(info.Env(), count);
}

Napi::Value Pwrite(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const Span span = ReadSlice(info, 1);
  const off_t position = ReadBytes(info, 4, "position");
  const ssize_t count = RetryInterrupted([&] { return pwrite(fd, span.data, span.length, position); });
  if (count == -1) throw SystemError(info.Env(), errno, "pwrite");
  return Napi::Number::New(info.Env(), count);
}

Napi::Value Fdatasync(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  // Repeated after EINTR only: after EIO the kernel has dropped the dirty pages, and a second call would
  // report success for data that is lost.
  if (RetryInterrupted([&] { return fdatasync(fd); }) == -1) throw SystemError(info.Env(), errno, "fdatasync");
  return info.Env().Undefined();
}

Napi::Value Ftruncate(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const off_t size = ReadBytes(info, 1, "size");
  if (RetryInterrupted([&] { return ftruncate(fd, size); }) == -1) throw SystemError(info.Env(), errno, "ftruncate");
  return info.Env().Undefined();
}

Napi::Value Fadvise(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const off_t start = ReadBytes(info, 1, "start");
  const off_t length = ReadBytes(info, 2, "length");
  const int advice = ReadInt(info, 3, "advice");
  // Unlike the others it returns the errno and leaves the variable alone.
  const int error = posix_fadvise(fd, start, length, advice);
  if (error != 0) throw SystemError(info.Env(), error, "posix_fadvise");
  return info.Env().Undefined();
}

}  // namespace

void AddFileCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New<Open>(env, "open"));
  exports.Set("close", Napi::Function::New<Close>(env, "close"));
  exports.Set("fallocate", Napi::Function::New<Fallocate>(env, "fallocate"));
  exports.Set("pread", Napi::Function::New<Pread>(env, "pread"));
  exports.Set("pwrite", Napi::Function::New<Pwrite>(env, "pwrite"));
  exports.Set("fdatasync", Napi::Function::New<Fdatasync>(env, "fdatasync"));
  exports.Set("ftruncate", Napi::Function::New<Ftruncate>(env, "ftruncate"));
  exports.Set("fadvise", Napi::Function::New<Fadvise>(env, "fadvise"));
}

}  // namespace ferry
