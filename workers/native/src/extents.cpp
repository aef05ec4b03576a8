// lseek: where data and holes begin, and where a file or device ends.
// They move the descriptor's own position, which no call of this module uses.
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

// One call for many ranges: a call of its own for each would take longer than the two seeks.
Napi::Value DataRanges(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  off_t position = ReadBytes(info, 1, "start");
  const off_t stop = ReadBytes(info, 2, "stop");
  const uint64_t most = ReadBytes(info, 3, "most");
  std::vector<double> pairs;
  while (position < stop && pairs.size() / 2 < most) {
    const off_t data = RetryInterrupted([&] { return lseek(fd, position, SEEK_DATA); });
    // Not a failure but the answer: nothing but a hole is left.
    if (data == -1 && errno == ENXIO) break;
    if (data == -1) throw SystemError(info.Env(), errno, "lseek(SEEK_DATA)");
    if (data >= stop) break;
    const off_t hole = RetryInterrupted([&] { return lseek(fd, data, SEEK_HOLE); });
    if (hole == -1) throw SystemError(info.Env(), errno, "lseek(SEEK_HOLE)");
    // By now a hole is where data was: as if the file had become shorter.
    if (hole <= data) throw SystemError(info.Env(), ENXIO, "lseek(SEEK_HOLE)");
    position = hole < stop ? hole : stop;
    pairs.push_back(static_cast<double>(data));
    pairs.push_back(static_cast<double>(position - data));
  }
  auto packed = Napi::Float64Array::New(info.Env(), pairs.size());
  std::copy(pairs.begin(), pairs.end(), packed.Data());
  return packed;
}

Napi::Value SeekEnd(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const off_t size = RetryInterrupted([&] { return lseek(fd, 0, SEEK_END); });
  if (size == -1) throw SystemError(info.Env(), errno, "lseek(SEEK_END)");
  return Napi::Number::New(info.Env(), static_cast<double>(size));
}

}  // namespace

void AddExtentCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("dataRanges", Napi::Function::New<DataRanges>(env, "dataRanges"));
  exports.Set("seekEnd", Napi::Function::New<SeekEnd>(env, "seekEnd"));
}

}  // namespace ferry
