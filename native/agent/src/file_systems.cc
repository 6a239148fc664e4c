#include "file_systems.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
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

bool HasMagic(const char* device, off_t at, std::string_view magic) {
  const UniqueFd fd(open(device, O_RDONLY | O_CLOEXEC));
  std::string found(magic.size(), '\0');
  return fd && pread(fd.Get(), found.data(), found.size(), at) == static_cast<ssize_t>(found.size()) &&
         found == magic;
}

// A file system that is mounted somewhere out of reach: its device is mounted once more, at no path at all.
int MakeReadOnly(const char* type, const std::string& device) {
  const UniqueFd context(fsopen(type, FSOPEN_CLOEXEC));
  if (!context || fsconfig(context.Get(), FSCONFIG_SET_STRING, "source", device.c_str(), 0) != 0 ||
      fsconfig(context.Get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return errno;
  }
  const UniqueFd mounted(fsmount(context.Get(), FSMOUNT_CLOEXEC, 0));
  if (!mounted) return errno;
  const UniqueFd picked(fspick(mounted.Get(), "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC));
  const bool is_done = picked && fsconfig(picked.Get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) == 0 &&
                       fsconfig(picked.Get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) == 0;
  return is_done ? 0 : errno;
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

bool IsExt4(const char* device) { return HasMagic(device, 1024 + 56, "\x53\xEF"); }

bool IsSquashfs(const char* device) { return HasMagic(device, 0, "hsqs"); }

bool AwaitDevice(const char* device) {
  const uint64_t until = NowMs() + kDiskWaitMs;
  while (access(device, F_OK) != 0) {
    if (NowMs() >= until) return false;
    usleep(5000);
  }
  return true;
}

void MountDataDisk(const char* device, bool expected) {
  if (expected ? !AwaitDevice(device) : access(device, F_OK) != 0) {
    if (expected) Log("microvm-agent: data disk %s: not there", device);
    return;
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

void ReleaseFileSystems(const std::string& below_root) {
  sync();
  const std::vector<Mount> mounts = ReadMountTable("/proc/self/mounts");
  for (auto entry = mounts.rbegin(); entry != mounts.rend(); ++entry) {
    if (entry->source.compare(0, 5, "/dev/") != 0 || entry->target == "/") continue;
    if (umount2(entry->target.c_str(), 0) == 0) continue;
    if (mount(nullptr, entry->target.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      Log("microvm-agent: %s stays mounted: %s", entry->target.c_str(), strerror(errno));
    }
  }
  // The root last: what else there is may lie in it.
  if (!below_root.empty()) {
    mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
    if (const int error = MakeReadOnly("ext4", below_root); error != 0)
      Log("microvm-agent: %s stays writable: %s", below_root.c_str(), strerror(error));
  }
  sync();
}

}  // namespace microvm::agent
