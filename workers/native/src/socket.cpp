// Unix sockets in Linux's abstract name space. Node.js fills such names up with NULs to the length of a whole address,
// which makes another name of them: a client in any other language that is told the name would find nobody there.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

struct Address {
  sockaddr_un data;
  socklen_t length;
};

Address ReadName(const Napi::CallbackInfo& info) {
  const Span name = ReadBuffer(info, 0, "name");
  Address address = {};
  // The first byte of the path is NUL; what follows is the name, every byte of it.
  if (name.length == 0 || name.length >= sizeof address.data.sun_path) {
    throw Napi::RangeError::New(info.Env(), "name must have 1 to 107 bytes");
  }
  address.data.sun_family = AF_UNIX;
  memcpy(address.data.sun_path + 1, name.data, name.length);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.length);
  return address;
}

using AttachCall = int (*)(int, const sockaddr*, socklen_t);

// A new socket, bound or connected; it is not left behind when that fails.
Napi::Value Attach(const Napi::CallbackInfo& info, AttachCall attach, const char* syscall) {
  const Address address = ReadName(info);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1) throw SystemError(info.Env(), errno, "socket");
  const int result =
      RetryInterrupted([&] { return attach(fd, reinterpret_cast<const sockaddr*>(&address.data), address.length); });
  if (result == -1) {
    const int error = errno;
    close(fd);
    throw SystemError(info.Env(), error, syscall);
  }
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value BindAbstract(const Napi::CallbackInfo& info) { return Attach(info, bind, "bind"); }

Napi::Value ConnectAbstract(const Napi::CallbackInfo& info) { return Attach(info, connect, "connect"); }

}  // namespace

void AddSocketCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("bindAbstract", Napi::Function::New<BindAbstract>(env, "bindAbstract"));
  exports.Set("connectAbstract", Napi::Function::New<ConnectAbstract>(env, "connectAbstract"));
}

}  // namespace ferry
