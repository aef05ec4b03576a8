// The kernel's numbers that callers pass in. They differ between architectures (O_DIRECT does), so they
// come from this machine's headers and not from a table in TypeScript.
#include <fcntl.h>

#include "calls.h"

namespace ferry {

void AddConstants(Napi::Env env, Napi::Object exports) {
  Napi::Object constants = Napi::Object::New(env);
  const auto add = [&](const char* name, int value) { constants.Set(name, Napi::Number::New(env, value)); };

  add("O_RDONLY", O_RDONLY);
  add("O_WRONLY", O_WRONLY);
  add("O_RDWR", O_RDWR);
  add("O_CREAT", O_CREAT);
  add("O_EXCL", O_EXCL);
  add("O_NOFOLLOW", O_NOFOLLOW);
  add("O_DIRECTORY", O_DIRECTORY);
  add("O_NONBLOCK", O_NONBLOCK);
  add("O_DIRECT", O_DIRECT);
  add("O_CLOEXEC", O_CLOEXEC);
  add("FALLOC_FL_KEEP_SIZE", FALLOC_FL_KEEP_SIZE);
  add("FALLOC_FL_PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE);
  add("FALLOC_FL_ZERO_RANGE", FALLOC_FL_ZERO_RANGE);
  add("POSIX_FADV_NORMAL", POSIX_FADV_NORMAL);
  add("POSIX_FADV_SEQUENTIAL", POSIX_FADV_SEQUENTIAL);
  add("POSIX_FADV_WILLNEED", POSIX_FADV_WILLNEED);
  add("POSIX_FADV_DONTNEED", POSIX_FADV_DONTNEED);

  constants.Freeze();
  exports.Set("constants", constants);
}

}  // namespace ferry
