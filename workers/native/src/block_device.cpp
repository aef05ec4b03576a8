// ioctls of block devices (linux/fs.h). On anything else the kernel answers ENOTTY.
// zeroOut and discard block their thread for as long as the device takes.
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

Napi::Value RangeIoctl(const Napi::CallbackInfo& info, unsigned long request, const char* syscall) {
  const int fd = ReadInt(info, 0, "fd");
  uint64_t range[2];  // start, length: the layout the kernel expects
  range[0] = ReadBytes(info, 1, "start");
  range[1] = ReadBytes(info, 2, "length");
  if (RetryInterrupted([&] { return ioctl(fd, request, range); }) == -1) {
    throw SystemError(info.Env(), errno, syscall);
  }
  return info.Env().Undefined();
}

// Number: the type the kernel writes for this request; a wrong width would leave half of it unwritten.
template <typename Number>
Napi::Value AskNumber(const Napi::CallbackInfo& info, unsigned long request, const char* syscall) {
  const int fd = ReadInt(info, 0, "fd");
  Number answer = 0;
  if (RetryInterrupted([&] { return ioctl(fd, request, &answer); }) == -1) {
    throw SystemError(info.Env(), errno, syscall);
  }
  return Napi::Number::New(info.Env(), static_cast<double>(answer));
}

Napi::Value ZeroOut(const Napi::CallbackInfo& info) { return RangeIoctl(info, BLKZEROOUT, "ioctl(BLKZEROOUT)"); }

Napi::Value Discard(const Napi::CallbackInfo& info) { return RangeIoctl(info, BLKDISCARD, "ioctl(BLKDISCARD)"); }

Napi::Value DeviceSize(const Napi::CallbackInfo& info) {
  return AskNumber<uint64_t>(info, BLKGETSIZE64, "ioctl(BLKGETSIZE64)");
}

Napi::Value LogicalSectorSize(const Napi::CallbackInfo& info) {
  return AskNumber<int>(info, BLKSSZGET, "ioctl(BLKSSZGET)");
}

Napi::Value PhysicalSectorSize(const Napi::CallbackInfo& info) {
  return AskNumber<unsigned int>(info, BLKPBSZGET, "ioctl(BLKPBSZGET)");
}

}  // namespace

void AddBlockDeviceCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("zeroOut", Napi::Function::New<ZeroOut>(env, "zeroOut"));
  exports.Set("discard", Napi::Function::New<Discard>(env, "discard"));
  exports.Set("deviceSize", Napi::Function::New<DeviceSize>(env, "deviceSize"));
  exports.Set("logicalSectorSize", Napi::Function::New<LogicalSectorSize>(env, "logicalSectorSize"));
  exports.Set("physicalSectorSize", Napi::Function::New<PhysicalSectorSize>(env, "physicalSectorSize"));
}

}  // namespace ferry
