// Locks on whole files, owned by the open file description (OFD): two opens in one process exclude each
// other, and closing some other descriptor of the file frees nothing. Classic fcntl locks do neither.
#include <fcntl.h>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

Napi::Value SetLock(const Napi::CallbackInfo& info, int fd, short type) {
  struct flock lock = {};  // l_start 0, l_len 0: the whole file, however it grows; l_pid must be 0
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  if (RetryInterrupted([&] { return fcntl(fd, F_OFD_SETLK, &lock); }) == -1) {
    throw SystemError(info.Env(), errno, "fcntl(F_OFD_SETLK)");
  }
  return info.Env().Undefined();
}

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const bool exclusive = ReadBool(info, 1, "exclusive");
  return SetLock(info, fd, exclusive ? F_WRLCK : F_RDLCK);
}

Napi::Value UnlockFile(const Napi::CallbackInfo& info) { return SetLock(info, ReadInt(info, 0, "fd"), F_UNLCK); }

}  // namespace

void AddLockCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("unlockFile", Napi::Function::New<UnlockFile>(env, "unlockFile"));
}

}  // namespace ferry
