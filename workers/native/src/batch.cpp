// Many writes at once by Linux's own asynchronous I/O (io_submit(2)), which is asynchronous with O_DIRECT only: small pieces
// far apart then wait for the storage together, not one after another. The thread is blocked until the last one has ended.
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "args.h"
#include "calls.h"
#include "errors.h"

namespace ferry {
namespace {

constexpr unsigned kMost = 256;  // in flight

// A thread's own; the kernel is told when the thread ends.
class Context {
 public:
  ~Context() {
    if (id_ != 0) syscall(SYS_io_destroy, id_);
  }

  // 0 with errno: this kernel has none, or all of them are in use.
  aio_context_t Get() {
    if (id_ == 0 && syscall(SYS_io_setup, kMost, &id_) == -1) id_ = 0;
    return id_;
  }

 private:
  aio_context_t id_ = 0;
};

struct Piece {
  uint8_t* data;
  size_t length;
  off_t position;
};

enum class Outcome { kWritten, kShort, kFailed };

// Waits for all that were submitted. On kFailed errno tells the first error.
Outcome Collect(aio_context_t context, const std::vector<Piece>& pieces, size_t submitted) {
  int failed = 0;
  bool complete = true;
  std::vector<io_event> events(submitted);
  for (size_t ended = 0; ended < submitted;) {
    // Never given up: until the kernel says so, it still reads from the buffer.
    const long count = syscall(SYS_io_getevents, context, 1, static_cast<long>(submitted), events.data(), nullptr);
    if (count == -1) continue;  // EINTR is all that it can be
    for (long i = 0; i < count; i++) {
      const int64_t result = events[i].res;
      if (result < 0 && failed == 0) failed = static_cast<int>(-result);
      if (result >= 0 && static_cast<size_t>(result) < pieces[events[i].data].length) complete = false;
    }
    ended += static_cast<size_t>(count);
  }
  errno = failed;
  return failed != 0 ? Outcome::kFailed : complete ? Outcome::kWritten : Outcome::kShort;
}

// One io_submit, no other call that writes: whoever must not write any more is asked between two of them.
// Returns how many it took.
size_t Submit(aio_context_t context, int fd, const std::vector<Piece>& pieces) {
  const size_t count = pieces.size() < kMost ? pieces.size() : kMost;
  std::vector<iocb> requests(count);
  std::vector<iocb*> pointers(count);
  for (size_t i = 0; i < count; i++) {
    iocb& request = requests[i];
    request.aio_data = i;
    request.aio_lio_opcode = IOCB_CMD_PWRITE;
    request.aio_fildes = static_cast<uint32_t>(fd);
    request.aio_buf = reinterpret_cast<uint64_t>(pieces[i].data);
    request.aio_nbytes = pieces[i].length;
    request.aio_offset = pieces[i].position;
    pointers[i] = &request;
  }
  const long submitted = syscall(SYS_io_submit, context, static_cast<long>(count), pointers.data());
  return submitted > 0 ? static_cast<size_t>(submitted) : 0;
}

Napi::Value PwriteBatch(const Napi::CallbackInfo& info) {
  const int fd = ReadInt(info, 0, "fd");
  const Span buffer = ReadBuffer(info, 1, "buffer");
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw Napi::TypeError::New(info.Env(), "pieces must be a Float64Array");
  }
  const Napi::Float64Array packed = info[2].As<Napi::Float64Array>();
  if (packed.ElementLength() % 3 != 0) throw Napi::RangeError::New(info.Env(), "pieces must have three numbers each");
  std::vector<Piece> pieces;
  pieces.reserve(packed.ElementLength() / 3);
  for (size_t i = 0; i < packed.ElementLength(); i += 3) {
    const double offset = packed[i], length = packed[i + 1], position = packed[i + 2];
    // NaN fails each comparison.
    if (!(offset >= 0 && length >= 0 && position >= 0 && offset + length <= static_cast<double>(buffer.length))) {
      throw Napi::RangeError::New(info.Env(), "each piece must lie inside the buffer of " +
                                                  std::to_string(buffer.length) + " bytes");
    }
    pieces.push_back({buffer.data + static_cast<size_t>(offset), static_cast<size_t>(length),
                      static_cast<off_t>(position)});
  }
  static thread_local Context own;
  const aio_context_t context = own.Get();
  const size_t submitted = context == 0 ? 0 : Submit(context, fd, pieces);
  if (submitted == 0) return Napi::Number::New(info.Env(), 0);
  const Outcome outcome = Collect(context, pieces, submitted);
  if (outcome == Outcome::kFailed) throw SystemError(info.Env(), errno, "io_submit(pwrite)");
  return Napi::Number::New(info.Env(), outcome == Outcome::kWritten ? static_cast<double>(submitted) : 0);
}

}  // namespace

void AddBatchCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("pwriteBatch", Napi::Function::New<PwriteBatch>(env, "pwriteBatch"));
}

}  // namespace ferry
