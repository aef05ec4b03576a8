// Copies that never pass through our memory: copy_file_range and reflinks. They block their thread.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

Napi::Value CopyFileRange(const Napi::CallbackInfo& info) {
  const int fd_in = ReadInt(info, 0, "fdIn");
  const off_t start_in = ReadBytes(info, 1, "startIn");
  const int fd_out = ReadInt(info, 2, "fdOut");
  const off_t start_out = ReadBytes(info, 3, "startOut");
  const size_t length = ReadBytes(info, 4, "length");
  const ssize_t count = RetryInterrupted([&] {
    off_t in = start_in;  // the kernel advances what it is given
    off_t out = start_out;
    return copy_file_range(fd_in, &in, fd_out, &out, length, 0);
  });
  if (count == -1) throw SystemError(info.Env(), errno, "copy_file_range");
  return Napi::Number::New(info.Env(), count);
}

Napi::Value Clone(const Napi::CallbackInfo& info) {
  const int fd_out = ReadInt(info, 0, "fdOut");
  const int fd_in = ReadInt(info, 1, "fdIn");
  if (RetryInterrupted([&] { return ioctl(fd_out, FICLONE, fd_in); }) == -1) {
    throw SystemError(info.Env(), errno, "ioctl(FICLONE)");
  }
  return info.Env().Undefined();
}

Napi::Value CloneRange(const Napi::CallbackInfo& info) {
  const int fd_out = ReadInt(info, 0, "fdOut");
  file_clone_range range = {};
  range.dest_offset = ReadBytes(info, 1, "startOut");
  range.src_fd = ReadInt(info, 2, "fdIn");
  range.src_offset = ReadBytes(info, 3, "startIn");
  range.src_length = ReadBytes(info, 4, "length");
  if (RetryInterrupted([&] { return ioctl(fd_out, FICLONERANGE, &range); }) == -1) {
    throw SystemError(info.Env(), errno, "ioctl(FICLONERANGE)");
  }
  return info.Env().Undefined();
}

}  // namespace

void AddCopyCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("copyFileRange", Napi::Function::New<CopyFileRange>(env, "copyFileRange"));
  exports.Set("clone", Napi::Function::New<Clone>(env, "clone"));
  exports.Set("cloneRange", Napi::Function::New<CloneRange>(env, "cloneRange"));
}

}  // namespace ferry
