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

int WriteFully(int fd, Piece piece) {
  while (piece.length > 0) {
    const ssize_t count = RetryInterrupted([&] { return pwrite(fd, piece.data, piece.length, piece.position); });
    if (count == -1) return errno;
    if (count == 0) return EIO;
    piece.data += count;
    piece.length -= static_cast<size_t>(count);
    piece.position += count;
  }
  return 0;
}

// Waits for so many of those that were submitted. Returns the first error of any, 0: none.
int Collect(aio_context_t context, int fd, const std::vector<Piece>& pieces, size_t submitted) {
  int failed = 0;
  std::vector<io_event> events(kMost);
  for (size_t ended = 0; ended < submitted;) {
    // Never given up: until the kernel says so, it still reads from the buffer.
    const long count = syscall(SYS_io_getevents, context, 1, kMost, events.data(), nullptr);
    if (count == -1) continue;  // EINTR is all that it can be
    for (long i = 0; i < count; i++) {
      const Piece& piece = pieces[events[i].data];
      const int64_t result = events[i].res;
      if (result < 0) {
        if (failed == 0) failed = static_cast<int>(-result);
      } else if (static_cast<size_t>(result) < piece.length) {
        const int error = WriteFully(fd, {piece.data + result, piece.length - result, piece.position + result});
        if (failed == 0) failed = error;
      }
    }
    ended += static_cast<size_t>(count);
  }
  return failed;
}

int WriteAll(int fd, const std::vector<Piece>& pieces) {
  static thread_local Context own;
  const aio_context_t context = own.Get();
  for (size_t first = 0; first < pieces.size();) {
    const size_t count = pieces.size() - first < kMost ? pieces.size() - first : kMost;
    std::vector<iocb> requests(count);
    std::vector<iocb*> pointers(count);
    for (size_t i = 0; i < count; i++) {
      const Piece& piece = pieces[first + i];
      iocb& request = requests[i];
      request.aio_data = first + i;
      request.aio_lio_opcode = IOCB_CMD_PWRITE;
      request.aio_fildes = static_cast<uint32_t>(fd);
      request.aio_buf = reinterpret_cast<uint64_t>(piece.data);
      request.aio_nbytes = piece.length;
      request.aio_offset = piece.position;
      pointers[i] = &request;
    }
    long submitted = context == 0 ? 0 : syscall(SYS_io_submit, context, static_cast<long>(count), pointers.data());
    if (submitted < 0) submitted = 0;
    const int error = Collect(context, fd, pieces, static_cast<size_t>(submitted));
    if (error != 0) return error;
    if (submitted == 0) {
      // Not taken: one by one. That says what is wrong, where anything is.
      const int failed = WriteFully(fd, pieces[first]);
      if (failed != 0) return failed;
      submitted = 1;
    }
    first += static_cast<size_t>(submitted);
  }
  return 0;
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
  const int error = WriteAll(fd, pieces);
  if (error != 0) throw SystemError(info.Env(), error, "pwrite");
  return info.Env().Undefined();
}

}  // namespace

void AddBatchCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("pwriteBatch", Napi::Function::New<PwriteBatch>(env, "pwriteBatch"));
}

}  // namespace ferry
