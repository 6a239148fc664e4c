#include "file_systems.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "clock.h"
#include "mount_table.h"
#include "proc_file.h"
#include "unique_fd.h"

namespace microvm::agent {
namespace {

constexpr const char* kDataDirectory = "/mnt/root";
constexpr uint64_t kDiskWaitMs = 5000;

struct KernelMount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* data;
};

constexpr KernelMount kKernelMounts[] = {
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
};

bool IsExt4(const char* device) {
  const UniqueFd fd(open(device, O_RDONLY | O_CLOEXEC));
  uint16_t magic = 0;
  return fd && pread(fd.Get(), &magic, sizeof(magic), 1024 + 56) == sizeof(magic) && magic == 0xEF53;
}

}  // namespace

void MountKernelFileSystems() {
  for (const KernelMount& entry : kKernelMounts) {
    mkdir(entry.target, 0755);
    if (mount(entry.type, entry.target, entry.type, entry.flags, entry.data) != 0 && errno != EBUSY) {
      Log("microvm-agent: mount %s: %s", entry.target, strerror(errno));
    }
  }
}

void MountDataDisk(const char* device, bool expected) {
  const uint64_t until = NowMs() + (expected ? kDiskWaitMs : 0);
  while (access(device, F_OK) != 0) {
    if (NowMs() >= until) {
      if (expected) Log("microvm-agent: data disk %s: not there", device);
      return;
    }
    usleep(5000);
  }
  if (!IsExt4(device)) {
    if (expected) Log("microvm-agent: data disk %s: not an ext4 file system", device);
    return;
  }
  mkdir("/mnt", 0755);
  mkdir(kDataDirectory, 0755);
  if (mount(device, kDataDirectory, "ext4", 0, nullptr) != 0) {
    Log("microvm-agent: mount %s at %s: %s", device, kDataDirectory, strerror(errno));
  }
}

void ReleaseFileSystems() {
  sync();
  const std::vector<Mount> mounts = ReadMountTable("/proc/self/mounts");
  for (auto entry = mounts.rbegin(); entry != mounts.rend(); ++entry) {
    if (entry->source.compare(0, 5, "/dev/") != 0) continue;
    if (umount2(entry->target.c_str(), 0) == 0) continue;
    if (mount(nullptr, entry->target.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      Log("microvm-agent: %s stays mounted: %s", entry->target.c_str(), strerror(errno));
    }
  }
  sync();
}

}  // namespace microvm::agent
