/*
 * The floor: what a copy onto this storage costs when nothing but the storage is in the way.
 * One zero over the whole target, then the source's data ranges are written with O_DIRECT by several threads in pieces
 * of 1 MiB, then fdatasync. Where zeroing means writing, only the holes are zeroed, by the same threads. No queue, no
 * checks, no progress. Prints how many milliseconds that took, without the start of the process.
 *
 * floor SOURCE TARGET preallocated|sparse first|holes THREADS
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, HOLE_PIECE = 16 << 20, ALIGNMENT = 4096 };

struct piece {
  off_t start;
  size_t length;
  int hole;
};

static struct piece *pieces;
static size_t piece_count, piece_room;
static atomic_size_t next_piece;
static int source, direct, buffered, sparse, device;

static void fail(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void add_pieces(off_t start, off_t end, int hole) {
  while (start < end) {
    if (piece_count == piece_room) {
      piece_room = piece_room ? piece_room * 2 : 4096;
      pieces = realloc(pieces, piece_room * sizeof *pieces);
      if (pieces == NULL) fail("realloc");
    }
    const off_t most = hole ? HOLE_PIECE : PIECE;
    off_t length = end - start < most ? end - start : most;
    pieces[piece_count++] = (struct piece){start, (size_t)length, hole};
    start += length;
  }
}

/* Zeroes [start, end) the cheapest way that the storage takes. */
static void zero(off_t start, off_t end) {
  if (start >= end) return;
  int mode = FALLOC_FL_KEEP_SIZE | (sparse ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
  if (fallocate(buffered, mode, start, end - start) == 0) return;
  if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENODEV) fail("fallocate");
  if (!device) fail("this file system does not zero");
  uint64_t range[2] = {(uint64_t)start, (uint64_t)(end - start)};
  if (ioctl(buffered, BLKZEROOUT, range) == -1) fail("ioctl(BLKZEROOUT)");
}

static void write_fully(int fd, const char *from, size_t length, off_t at) {
  while (length > 0) {
    ssize_t written = pwrite(fd, from, length, at);
    if (written <= 0) fail("pwrite");
    from += written;
    length -= (size_t)written;
    at += written;
  }
}

static void *copy(void *unused) {
  (void)unused;
  char *buffer;
  if ((errno = posix_memalign((void **)&buffer, ALIGNMENT, PIECE)) != 0) fail("posix_memalign");
  for (;;) {
    size_t mine = atomic_fetch_add(&next_piece, 1);
    if (mine >= piece_count) return NULL;
    struct piece piece = pieces[mine];
    if (piece.hole) {
      zero(piece.start, piece.start + (off_t)piece.length);
      continue;
    }
    for (size_t done = 0; done < piece.length;) {
      ssize_t got = pread(source, buffer + done, piece.length - done, piece.start + (off_t)done);
      if (got <= 0) fail("pread");
      done += (size_t)got;
    }
    /* Only the last bytes of an image can be no whole block; they go through the page cache. */
    size_t whole = piece.start % ALIGNMENT == 0 ? piece.length - piece.length % ALIGNMENT : 0;
    write_fully(direct, buffer, whole, piece.start);
    write_fully(buffered, buffer + whole, piece.length - whole, piece.start + (off_t)whole);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: floor SOURCE TARGET preallocated|sparse first|holes THREADS\n");
    return 2;
  }
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  const int first = strcmp(argv[4], "first") == 0;
  sparse = strcmp(argv[3], "sparse") == 0;
  const int threads = atoi(argv[5]);
  if ((source = open(argv[1], O_RDONLY | O_CLOEXEC)) == -1) fail(argv[1]);
  if ((buffered = open(argv[2], O_RDWR | O_CLOEXEC)) == -1) fail(argv[2]);
  if ((direct = open(argv[2], O_RDWR | O_DIRECT | O_CLOEXEC)) == -1) direct = buffered;
  struct stat status;
  if (fstat(buffered, &status) == -1) fail("fstat");
  device = S_ISBLK(status.st_mode);
  const off_t size = lseek(source, 0, SEEK_END);
  if (size == -1) fail("lseek");

  int holes = 0;
  for (off_t at = 0; at < size;) {
    off_t data = lseek(source, at, SEEK_DATA);
    if (data == -1 && errno != ENXIO) fail("lseek(SEEK_DATA)");
    if (data == -1) data = size;
    if (data > at) {
      holes = 1;
      if (!first) add_pieces(at, data, 1);
    }
    if (data == size) break;
    at = lseek(source, data, SEEK_HOLE);
    if (at == -1) fail("lseek(SEEK_HOLE)");
    add_pieces(data, at, 0);
  }
  if (first && holes) zero(0, size);

  pthread_t running[64];
  const int count = threads < 1 ? 1 : threads > 64 ? 64 : threads;
  for (int i = 0; i < count; i++)
    if ((errno = pthread_create(&running[i], NULL, copy, NULL)) != 0) fail("pthread_create");
  for (int i = 0; i < count; i++) pthread_join(running[i], NULL);
  if (fdatasync(buffered) == -1) fail("fdatasync");
  clock_gettime(CLOCK_MONOTONIC, &ended);
  printf("%.3f\n", (double)(ended.tv_sec - began.tv_sec) * 1e3 + (double)(ended.tv_nsec - began.tv_nsec) / 1e6);
  return 0;
}
