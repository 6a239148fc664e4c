// volatile-disk BASE MOUNTPOINT: a block device with the content of the file BASE, which stays as it is, and
// with a write cache that can be lost. Commands come on stdin, one a line; each is answered by a line on
// stdout.
//
//   on                   -> on /dev/loopN                the device has power, and what the disk has
//   arm SURVIVAL SEED    -> armed                         the power is cut when the next flush arrives
//   cut SURVIVAL SEED    -> cut WRITES SECTORS SURVIVING  what was not flushed is lost, all further I/O
//   fails; an armed cut
//                                                         that has come already stays as it was
//
// SURVIVAL is `none`, `all`, `writes` or `sectors`. The end of stdin ends the program, which takes the power
// too. MOUNTPOINT is a regular file that this program mounts its own upon, in a mount namespace of its own.
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "loop_device.h"
#include "store_file.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace {

using namespace microvm;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "volatile-disk: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

disk::Survival SurvivalOf(const char* name) {
  if (std::strcmp(name, "none") == 0) return disk::Survival::kNone;
  if (std::strcmp(name, "all") == 0) return disk::Survival::kAll;
  if (std::strcmp(name, "writes") == 0) return disk::Survival::kWrites;
  if (std::strcmp(name, "sectors") == 0) return disk::Survival::kSectors;
  errno = EINVAL;
  Fail(name);
}

void Obey(const char* line, disk::StoreFile* file, const char* mountpoint, disk::LoopDevice* device) {
  char survival[16] = "";
  unsigned long long seed = 0;
  if (std::strncmp(line, "on", 2) == 0) {
    file->PowerOn();
    *device = disk::AttachLoop(mountpoint);
    if (!device->fd) Fail("loop device");
    std::printf("on /dev/loop%u\n", device->number);
  } else if (std::sscanf(line, "arm %15s %llu", survival, &seed) == 2) {
    file->CutAtFlush(SurvivalOf(survival), seed);
    std::printf("armed\n");
  } else if (std::sscanf(line, "cut %15s %llu", survival, &seed) == 2) {
    const disk::CutCounts counts = file->Cut(SurvivalOf(survival), seed);
    device->fd.Reset();
    std::printf("cut %zu %zu %zu\n", counts.writes, counts.sectors, counts.surviving_sectors);
  } else {
    errno = EINVAL;
    Fail(line);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    errno = EINVAL;
    Fail("usage: volatile-disk BASE MOUNTPOINT");
  }
  disk::VolatileStore store;
  if (!store.Open(argv[1])) Fail(argv[1]);
  // Its mount is nobody else's and goes with the process.
  if (unshare(CLONE_NEWNS) != 0) Fail("unshare");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) Fail("mount");
  // Memory that this process needs must not be made free by writing to this very disk. Without
  // CAP_SYS_RESOURCE it could be, which matters only on a host that is out of memory.
  static_cast<void>(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
  disk::StoreFile file(&store);
  if (!file.Mount(argv[2])) Fail("mount of the store");
  std::thread([&file] { file.Serve(); }).detach();
  disk::LoopDevice device;
  char line[128];
  while (std::fgets(line, sizeof line, stdin) != nullptr) Obey(line, &file, argv[2], &device);
  // Without unwinding: the thread still serves the store.
  std::_Exit(0);
}
