// The floor: what a copy costs at least on a storage. One zero call over the target, then the data ranges of the source,
// read and written with direct I/O by several threads, then a flush. No queue, no checks, no progress.
// Usage: floor SOURCE TARGET preallocated|sparse|none THREADS
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER (1 << 20)
#define PAGE 4096

struct range {
  off_t start, length;
};

static struct range *pieces;
static size_t count, capacity;
static size_t next;
static int source, target, direct;

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

// Data ranges in pieces of one buffer, widened to whole pages.
static void map(off_t size) {
  for (off_t at = 0; at < size;) {
    off_t start = lseek(source, at, SEEK_DATA);
    if (start == -1 && errno == ENXIO) return;
    if (start == -1) die("SEEK_DATA");
    off_t stop = lseek(source, start, SEEK_HOLE);
    if (stop == -1) die("SEEK_HOLE");
    start -= start % PAGE;
    for (off_t piece = start; piece < stop; piece += BUFFER) {
      if (count == capacity) {
        capacity = capacity ? capacity * 2 : 4096;
        pieces = realloc(pieces, capacity * sizeof *pieces);
        if (!pieces) die("memory");
      }
      off_t length = stop - piece < BUFFER ? stop - piece : BUFFER;
      pieces[count++] = (struct range){piece, length};
    }
    at = stop;
  }
}

static void zero(off_t size, const char *allocation) {
  struct stat info;
  if (fstat(target, &info) == -1) die("fstat");
  if (!strcmp(allocation, "none")) return;
  if (!strcmp(allocation, "sparse")) {
    if (fallocate(target, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) == 0) return;
  } else if (fallocate(target, FALLOC_FL_ZERO_RANGE, 0, size) == 0) {
    return;
  }
  uint64_t all[2] = {0, (uint64_t)size};
  if (!S_ISBLK(info.st_mode) || ioctl(target, BLKZEROOUT, all) == -1) die("zero");
}

static void *copy(void *unused) {
  (void)unused;
  char *buffer;
  if (posix_memalign((void **)&buffer, PAGE, BUFFER)) die("memory");
  for (;;) {
    size_t mine = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    if (mine >= count) return NULL;
    struct range piece = pieces[mine];
    for (off_t done = 0; done < piece.length;) {
      ssize_t got = pread(source, buffer + done, piece.length - done, piece.start + done);
      if (got <= 0) die("read");
      done += got;
    }
    off_t whole = piece.length - piece.length % PAGE;
    for (off_t done = 0; done < piece.length;) {
      int by = done < whole ? direct : target;
      off_t length = (done < whole ? whole : piece.length) - done;
      ssize_t put = pwrite(by, buffer + done, length, piece.start + done);
      if (put <= 0) die("write");
      done += put;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  source = open(argv[1], O_RDONLY);
  target = open(argv[2], O_RDWR);
  direct = open(argv[2], O_RDWR | O_DIRECT);
  if (direct == -1 && errno == EINVAL) direct = target;
  if (source == -1 || target == -1 || direct == -1) die("open");
  off_t size = lseek(source, 0, SEEK_END);
  map(size);
  zero(lseek(target, 0, SEEK_END), argv[3]);
  int threads = atoi(argv[4]);
  pthread_t ids[64];
  for (int i = 0; i < threads && i < 64; i++)
    if (pthread_create(&ids[i], NULL, copy, NULL)) die("thread");
  for (int i = 0; i < threads && i < 64; i++) pthread_join(ids[i], NULL);
  if (fdatasync(target) == -1) die("flush");
  return 0;
}
