#include "image_root.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "etc_folder.h"
#include "file_systems.h"
#include "folder_tree.h"
#include "unique_fd.h"

namespace microvm::agent {
namespace {

// Of the initramfs. The first two are left as soon as the third has them.
constexpr const char* kLower = "/image-lower";
constexpr const char* kDisk = "/image-disk";
constexpr const char* kRoot = "/image";
// On the disk, beside the folders of the overlay, where nothing of the image reaches them.
constexpr const char* kUpper = "upper";
constexpr const char* kWork = "work";
constexpr const char* kPrepared = "prepared";
// A rename of a folder of the image works, names of one file stay one file when it is written, and inode
// numbers stay what they are and are those of one file system.
constexpr const char* kOverlay =
    "lowerdir=/image-lower,upperdir=/image-disk/upper,workdir=/image-disk/"
    "work,redirect_dir=on,index=on,xino=on";

std::string Problem(const std::string& what, int error) { return what + ": " + strerror(error); }

UniqueFd OpenFolder(int at, const char* name) {
  return UniqueFd(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// The kernel says on the console what it does not like.
std::string MountBoth(const std::string& image, const std::string& disk) {
  for (const std::string& device : {image, disk}) {
    if (!AwaitDevice(device.c_str())) return device + ": not there";
  }
  if (!IsSquashfs(image.c_str())) return image + ": not a squashfs";
  if (!IsExt4(disk.c_str())) return disk + ": not an ext4 file system";
  for (const char* folder : {kLower, kDisk, kRoot}) mkdir(folder, 0700);
  if (mount(image.c_str(), kLower, "squashfs", MS_RDONLY, nullptr) != 0)
    return Problem("mount the squashfs " + image, errno);
  if (mount(disk.c_str(), kDisk, "ext4", 0, nullptr) != 0) return Problem("mount the ext4 " + disk, errno);
  return {};
}

// The root of an overlay has owner, mode and attributes of the upper folder.
void CopyAttributes(int from, int to) {
  struct stat facts {};
  if (fstat(from, &facts) != 0) return;
  std::string names(64 * 1024, '\0');
  const ssize_t size = flistxattr(from, names.data(), names.size());
  names.resize(size < 0 ? 0 : static_cast<size_t>(size));
  for (const char* name = names.c_str(); name < names.c_str() + names.size(); name += strlen(name) + 1) {
    std::string value(64 * 1024, '\0');
    const ssize_t length = fgetxattr(from, name, value.data(), value.size());
    if (length >= 0) fsetxattr(to, name, value.data(), static_cast<size_t>(length), 0);
  }
  [[maybe_unused]] const int owned = fchown(to, facts.st_uid, facts.st_gid);
  fchmod(to, facts.st_mode & 07777);
  const timespec times[] = {facts.st_atim, facts.st_mtim};
  futimens(to, times);
}

// Whole or absent, whatever ends the guest meanwhile.
std::string MakeUpper(int lower, int disk) {
  if (mkdirat(disk, kWork, 0700) != 0 && errno != EEXIST) return Problem("make a folder on the disk", errno);
  if (OpenFolder(disk, kUpper)) return {};
  constexpr const char* kStaged = "upper.new";
  unlinkat(disk, kStaged, AT_REMOVEDIR);
  if (mkdirat(disk, kStaged, 0700) != 0) return Problem("make a folder on the disk", errno);
  CopyAttributes(lower, OpenFolder(disk, kStaged).Get());
  if (renameat(disk, kStaged, disk, kUpper) != 0) return Problem("make a folder on the disk", errno);
  return {};
}

// Something of another type gives way to it, in the upper folder.
int MakeMountPoint(int root, const char* name, mode_t mode) {
  struct stat facts {};
  if (fstatat(root, name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISDIR(facts.st_mode)) return 0;
    if (unlinkat(root, name, 0) != 0) return errno;
  }
  if (mkdirat(root, name, 0700) != 0) return errno;
  return fchmodat(root, name, mode, 0) == 0 ? 0 : errno;
}

std::string MoveMounts(int root) {
  struct stat tmp {};
  const bool has_tmp = fstatat(root, "tmp", &tmp, AT_SYMLINK_NOFOLLOW) == 0;
  if (!has_tmp && MakeMountPoint(root, "tmp", 01777) != 0) return Problem("make /tmp of the image", errno);
  for (const char* name : {"proc", "sys", "dev", "run"}) {
    const std::string own = "/" + std::string(name);
    const std::string target = kRoot + own;
    if (const int error = MakeMountPoint(root, name, 0755); error != 0)
      return Problem("make " + own + " of the image", error);
    if (own == "/run")
      CopySmallTree(OpenFolder(root, name).Get(), UniqueFd(open("/run", O_RDONLY | O_CLOEXEC)).Get());
    if (mount(own.c_str(), target.c_str(), nullptr, MS_MOVE, nullptr) != 0)
      return Problem("move " + own + " into the image", errno);
  }
  return {};
}

// As switch_root does it: the image lies over the root of the initramfs, which no path reaches any more.
std::string SwitchRoot() {
  const UniqueFd old_root(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (chdir(kRoot) != 0 || mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || chroot(".") != 0 ||
      chdir("/") != 0)
    return Problem("make the image the root", errno);
  if (old_root) EmptyFolder(old_root.Get());
  return {};
}

}  // namespace

std::string EnterImage(const KernelOptions& options) {
  if (options.data_disk.empty())
    return "an image needs a disk, and the kernel's command line has microvm.data=none";
  std::string problem = MountBoth(options.image, options.data_disk);
  if (!problem.empty()) return problem;
  const UniqueFd disk = OpenFolder(AT_FDCWD, kDisk);
  problem = MakeUpper(OpenFolder(AT_FDCWD, kLower).Get(), disk.Get());
  if (!problem.empty()) return problem;
  // By the name of its disk, whose room it has: so the metrics and `df` tell of it.
  if (mount(options.data_disk.c_str(), kRoot, "overlay", 0, kOverlay) != 0)
    return Problem("mount the overlay of " + options.image + " and " + options.data_disk, errno);
  // The overlay has mounts of its own of both.
  umount2(kLower, MNT_DETACH);
  umount2(kDisk, MNT_DETACH);
  umount2("/tmp", MNT_DETACH);
  const UniqueFd root = OpenFolder(AT_FDCWD, kRoot);
  problem = MoveMounts(root.Get());
  if (!problem.empty()) return problem;
  if (faccessat(disk.Get(), kPrepared, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
    WriteIdentity(root.Get(), options.host_name);
    const UniqueFd prepared(openat(disk.Get(), kPrepared, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  }
  return SwitchRoot();
}

}  // namespace microvm::agent
