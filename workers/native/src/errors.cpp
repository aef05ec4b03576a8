#include "errors.h"

#include <cctype>
#include <cstring>
#include <string>

namespace ferry {

Napi::Error SystemError(Napi::Env env, int error, const char* syscall) {
  // The _np functions (glibc 2.32) give name and text untranslated, whatever the locale; strerror does not.
  const char* name = strerrorname_np(error);
  const char* text = strerrordesc_np(error);
  const std::string code = name != nullptr ? name : "E" + std::to_string(error);
  std::string description = text != nullptr ? text : "unknown error " + std::to_string(error);
  // As Node writes it: "ENOSPC: no space left on device, fallocate".
  description[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(description[0])));

  Napi::Error thrown = Napi::Error::New(env, code + ": " + description + ", " + syscall);
  thrown.Set("code", Napi::String::New(env, code));
  thrown.Set("errno", Napi::Number::New(env, error));
  thrown.Set("syscall", Napi::String::New(env, syscall));
  return thrown;
}

}  // namespace ferry
