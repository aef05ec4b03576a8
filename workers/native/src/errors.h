// How a failed system call becomes a JavaScript Error with code, errno and syscall.
#pragma once

#include <cerrno>

#include <napi.h>

namespace ferry {

// The Error for `error`, a positive errno; `syscall` is how the caller knows the call, such as "ioctl(BLKZEROOUT)".
// Callers throw it: node-addon-api hands a C++ exception over to JavaScript.
Napi::Error SystemError(Napi::Env env, int error, const char* syscall);

// Calls until no signal interrupts it. Any signal handler of the process may run on our thread, and a
// half-minute of zeroing must not fail because a child of the process ended.
template <typename Call>
auto RetryInterrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace ferry
