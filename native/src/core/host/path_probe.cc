#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>

#include "core/file_io.h"
#include "core/host/host_probe.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

namespace microvm::core {
namespace {

constexpr size_t kBlock = 4096;
constexpr unsigned long kZfsMagic = 0x2FC12FC1;
constexpr unsigned long kBcachefsMagic = 0xCA451A4E;

std::string NameOf(unsigned long magic) {
  switch (magic) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case XFS_SUPER_MAGIC:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case RAMFS_MAGIC:
      return "ramfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlay";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case F2FS_SUPER_MAGIC:
      return "f2fs";
    case kZfsMagic:
      return "zfs";
    case kBcachefsMagic:
      return "bcachefs";
    default:
      char text[24];
      snprintf(text, sizeof text, "0x%lx", magic);
      return text;
  }
}

// A file that has no name, or loses it at once.
Result<UniqueFd> MakeFile(const std::string& folder) {
  auto fd = OpenFile(folder, O_TMPFILE | O_RDWR, 0600);
  if (fd.Ok() || (fd.Error().number != EOPNOTSUPP && fd.Error().number != EISDIR)) return fd;
  const std::string name = folder + "/.tmp-" + RandomHex16();
  fd = OpenFile(name, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd.Ok()) unlink(name.c_str());
  return fd;
}

// By making one.
void TryReflink(PathFacts* facts) {
  auto from = MakeFile(facts->path);
  auto to = MakeFile(facts->path);
  if (!from.Ok() || !to.Ok()) {
    facts->write_error = from.Ok() ? to.Error().number : from.Error().number;
    return;
  }
  auto written = WriteAll(from.Value().Get(), std::string(kBlock, 'x'), facts->path);
  if (!written.Ok()) {
    facts->write_error = written.Error().number;
    return;
  }
  facts->has_reflink = ioctl(to.Value().Get(), FICLONE, from.Value().Get()) == 0;
}

}  // namespace

PathFacts ProbePath(const std::string& path) {
  PathFacts facts;
  facts.path = path;
  auto folder = OpenDirectory(path);
  struct statfs status {};
  struct stat node {};
  if (!folder.Ok() || fstatfs(folder.Value().Get(), &status) != 0 ||
      fstat(folder.Value().Get(), &node) != 0) {
    facts.error = folder.Ok() ? errno : folder.Error().number;
    return facts;
  }
  const auto magic = static_cast<unsigned long>(status.f_type) & 0xFFFFFFFFul;
  const auto block = static_cast<uint64_t>(status.f_frsize);
  facts.file_system = NameOf(magic);
  facts.device = node.st_dev;
  facts.total_bytes = block * status.f_blocks;
  facts.available_bytes = block * status.f_bavail;
  facts.is_in_memory = magic == TMPFS_MAGIC || magic == RAMFS_MAGIC;
  facts.has_no_devices = (status.f_flags & ST_NODEV) != 0;
  facts.has_no_executables = (status.f_flags & ST_NOEXEC) != 0;
  TryReflink(&facts);
  return facts;
}

}  // namespace microvm::core
