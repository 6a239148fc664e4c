#include "core/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "core/file_io.h"
#include "core/openat2.h"

namespace microvm::core {
namespace {

// Directories open at the same time. What lies deeper is first moved up, so that a hostile depth costs no
// descriptors.
constexpr int kMaxDepth = 64;
// A directory into which others keep writing is given up after so many sweeps.
constexpr int kMaxSweeps = 16;
// Of more one learns nothing.
constexpr size_t kMaxTold = 32;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

// One removal; one thread.
class Removal {
 public:
  explicit Removal(const Cancellation& cancellation) : cancellation_(cancellation) {}
  RemovedTree Run(const std::string& path);

 private:
  UniqueFd OpenChild(int parent, const char* name);
  void RemoveChild(int parent, const char* name, const std::string& path, int depth);
  void Empty(UniqueFd directory, const std::string& path, int depth);
  void MoveUp(int parent, const char* name, const std::string& path);
  void Fail(const char* syscall, const std::string& path) { Fail(SysError::Last(syscall, path)); }
  void Fail(SysError error);
  bool IsCancelled();

  const Cancellation& cancellation_;
  RemovedTree removed_;
  int top_ = -1;
  uint64_t moved_ = 0;
};

RemovedTree Removal::Run(const std::string& path) {
  const SplitPath split = Split(path);
  if (split.name.empty() || split.name == "." || split.name == "..") {
    Fail(SysError{EINVAL, "unlink", path});
    return std::move(removed_);
  }
  auto parent = OpenFile(split.directory, O_PATH | O_DIRECTORY);
  if (parent.Ok()) {
    RemoveChild(parent.Value().Get(), split.name.c_str(), path, 0);
  } else if (parent.Error().number != ENOENT) {
    Fail(parent.Error());
  }
  return std::move(removed_);
}

UniqueFd Removal::OpenChild(int parent, const char* name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  constexpr uint64_t kResolve = kResolveNoXdev | kResolveNoMagicLinks | kResolveNoSymlinks | kResolveBeneath;
  UniqueFd fd = OpenAt2(parent, name, kFlags, 0, kResolve);
  if (fd || errno != ENOSYS) return fd;
  // Before Linux 5.6: a bind mount of the same file system is not seen.
  fd.Reset(openat(parent, name, kFlags));
  struct stat above {};
  struct stat here {};
  if (fd && fstat(parent, &above) == 0 && fstat(fd.Get(), &here) == 0 && above.st_dev != here.st_dev) {
    fd.Reset();
    errno = EXDEV;
  }
  return fd;
}

void Removal::RemoveChild(int parent, const char* name, const std::string& path, int depth) {
  UniqueFd directory = OpenChild(parent, name);
  if (!directory && errno == ENOENT) return;
  // A link or a file; at the very top it is not what we were asked to remove.
  if (!directory && (errno == ELOOP || errno == ENOTDIR) && depth > 0) {
    if (unlinkat(parent, name, 0) == 0) {
      ++removed_.files;
    } else if (errno != ENOENT) {
      Fail("unlink", path);
    }
    return;
  }
  if (!directory) return Fail("open", path);
  if (depth >= kMaxDepth) return MoveUp(parent, name, path);
  if (depth == 0) top_ = directory.Get();
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    const uint64_t moved_before = moved_;
    const uint64_t left_before = removed_.left_count;
    Empty(UniqueFd(fcntl(directory.Get(), F_DUPFD_CLOEXEC, 0)), path, depth);
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0) {
      ++removed_.directories;
      return;
    }
    if (errno == ENOENT) return;
    if (errno != ENOTEMPTY && errno != EEXIST) return Fail("rmdir", path);
    // What cannot be removed will not go by trying again, and was told.
    if (removed_.left_count != left_before || IsCancelled()) return;
    if (depth == 0 && moved_ != moved_before) sweep = -1;
  }
  Fail("rmdir", path);
}

void Removal::Empty(UniqueFd directory, const std::string& path, int depth) {
  if (!directory) return Fail("fcntl", path);
  const int fd = directory.Get();
  const Directory entries(fdopendir(fd));
  if (!entries) return Fail("opendir", path);
  static_cast<void>(directory.Release());
  rewinddir(entries.get());
  while (const dirent* entry = readdir(entries.get())) {
    if (IsCancelled()) return;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    // The name is copied: the entry is gone with the next read of a nested sweep.
    const std::string name = entry->d_name;
    RemoveChild(fd, name.c_str(), path + "/" + name, depth + 1);
  }
}

void Removal::MoveUp(int parent, const char* name, const std::string& path) {
  const std::string moved = ".tmp-" + RandomHex16();
  if (renameat(parent, name, top_, moved.c_str()) != 0) return Fail("rename", path);
  ++moved_;
}

void Removal::Fail(SysError error) {
  ++removed_.left_count;
  if (removed_.left.size() < kMaxTold) removed_.left.push_back(std::move(error));
}

bool Removal::IsCancelled() {
  removed_.is_cancelled = cancellation_.IsRequested();
  return removed_.is_cancelled;
}

}  // namespace

RemovedTree RemoveTree(const std::string& path, const Cancellation& cancellation) {
  return Removal(cancellation).Run(path);
}

RemovedTree RemoveTree(const std::string& path) {
  const Cancellation never;
  return RemoveTree(path, never);
}

}  // namespace microvm::core
