// The floor under a durable copy: what a program does that copies a file so that it survives a power cut.
// Each copy is a thread: a new file, its data by reflink where the file system can (else what is not a hole),
// fsync, rename, fsync of the folder. All begin at once.
//
//   floor-put SOURCE FOLDER COPIES ; the result is a line of nanoseconds, from the begin to the end of each
//   copy.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FICLONE _IOW(0x94, 9, int)

static const char *source, *folder;
static pthread_barrier_t begin;
static struct timespec began;

struct copy {
  int index;
  long long took;
};

static void must(long result, const char* what) {
  if (result >= 0) return;
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void copy_data(int from, int to) {
  if (ioctl(to, FICLONE, from) == 0) return;
  struct stat info;
  must(fstat(from, &info), "fstat");
  must(ftruncate(to, info.st_size), "ftruncate");
  for (off_t data = 0; (data = lseek(from, data, SEEK_DATA)) >= 0;) {
    const off_t hole = lseek(from, data, SEEK_HOLE);
    for (off_t at = data; data < hole;) must(copy_file_range(from, &data, to, &at, hole - data, 0), "copy");
  }
}

static void* put(void* argument) {
  struct copy* copy = argument;
  char temporary[512], target[512];
  snprintf(temporary, sizeof temporary, "%s/.tmp-%d", folder, copy->index);
  snprintf(target, sizeof target, "%s/copy-%d", folder, copy->index);
  pthread_barrier_wait(&begin);
  const int from = open(source, O_RDONLY | O_CLOEXEC);
  must(from, source);
  const int to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  must(to, temporary);
  copy_data(from, to);
  must(fsync(to), "fsync");
  close(to);
  close(from);
  must(rename(temporary, target), "rename");
  const int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(directory, folder);
  must(fsync(directory), "fsync of the folder");
  close(directory);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  copy->took = (now.tv_sec - began.tv_sec) * 1000000000LL + now.tv_nsec - began.tv_nsec;
  return NULL;
}

int main(int count, char** args) {
  if (count != 4) return 2;
  source = args[1];
  folder = args[2];
  const int copies = atoi(args[3]);
  struct copy* all = calloc(copies, sizeof *all);
  pthread_t* threads = calloc(copies, sizeof *threads);
  pthread_barrier_init(&begin, NULL, copies + 1);
  for (int i = 0; i < copies; ++i) {
    all[i].index = i;
    if (pthread_create(&threads[i], NULL, put, &all[i]) != 0) return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &began);
  pthread_barrier_wait(&begin);
  for (int i = 0; i < copies; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < copies; ++i) printf("%lld ", all[i].took);
  printf("\n");
  return 0;
}
