#include "file_systems.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "clock.h"
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

struct Mounted {
  std::string source;
  std::string target;
};

// Blanks and the like are written as octal in mount tables.
std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<Mounted> MountTable() {
  std::vector<Mounted> mounts;
  const std::string table = ReadSmallFile("/proc/self/mounts");
  size_t at = 0;
  while (at < table.size()) {
    const size_t line_end = table.find('\n', at);
    const size_t first = table.find(' ', at);
    const size_t second = first == std::string::npos ? first : table.find(' ', first + 1);
    if (second == std::string::npos || line_end == std::string::npos) break;
    mounts.push_back({table.substr(at, first - at), Unescape(table.substr(first + 1, second - first - 1))});
    at = line_end + 1;
  }
  return mounts;
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
  const std::vector<Mounted> mounts = MountTable();
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
