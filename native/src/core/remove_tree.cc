#include "core/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/file_io.h"
#include "core/openat2.h"

namespace microvm::core {
namespace {

// A directory that lies deeper is moved up first, so that a hostile depth costs no memory.
constexpr size_t kMaxDepth = 1024;
// A directory into which others keep writing is given up after so many sweeps.
constexpr int kMaxSweeps = 16;
// How many directories of one directory are remembered until they are entered.
constexpr size_t kMaxBatch = 256;
// How many names of one directory are remembered as told.
constexpr size_t kMaxLeft = 4096;
// Of more one learns nothing.
constexpr size_t kMaxTold = 32;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

// A directory on the way from the top to where the removal is.
struct Level {
  std::string name;
  // What it was when it was entered: the way back up leads to that one or nowhere.
  dev_t device = 0;
  ino_t inode = 0;
  // Found in it, not empty, and not entered yet.
  std::vector<std::string> directories;
  // Told already; it stays.
  std::set<std::string> left;
  bool needs_scan = true;
  // What had changed in the whole removal when it was scanned last.
  uint64_t progress_at_scan = 0;
  int refilled = 0;
  uint64_t left_before = 0;
};

// One removal; one thread. Open at a time are the directory above the top, the top, the one that is being
// emptied, and the next one: four, however deep the tree is. The way back leads through `..`, which is
// believed only when it is the directory that was entered on the way down.
class Removal {
 public:
  explicit Removal(const Cancellation& cancellation) : cancellation_(cancellation) {}
  RemovedTree Run(const std::string& path);

 private:
  void RunFrom(int parent, const std::string& name);
  void EmptyTop();
  bool IsAtTop() const { return levels_.size() == 1; }
  int Here() const { return dirfd(here_.get()); }
  UniqueFd OpenChild(int parent, const char* name) const;
  bool Enter(UniqueFd directory, const std::string& name);
  bool GoTo(UniqueFd directory);
  void Scan();
  void RemoveEntry(const char* name);
  void Descend();
  void MoveUp(const std::string& name);
  bool Leave();
  std::string PathOf(const std::string& name) const;
  void Fail(const char* syscall, const std::string& name);
  void Tell(SysError error);
  bool IsCancelled();
  // Grows with all that a further scan of a directory may depend on. Never 0.
  uint64_t Progress() const {
    return 1 + removed_.files + removed_.directories + moved_ + levels_.back().left.size();
  }

  const Cancellation& cancellation_;
  RemovedTree removed_;
  std::string path_;
  UniqueFd top_;
  Directory here_;
  std::vector<Level> levels_;
  uint64_t moved_ = 0;
};

RemovedTree Removal::Run(const std::string& path) {
  path_ = path;
  const SplitPath split = Split(path);
  if (split.name.empty() || split.name == "." || split.name == "..") {
    Tell(SysError{EINVAL, "unlink", path});
    return std::move(removed_);
  }
  auto parent = OpenFile(split.directory, O_PATH | O_DIRECTORY);
  if (parent.Ok()) {
    RunFrom(parent.Value().Get(), split.name);
  } else if (parent.Error().number != ENOENT) {
    Tell(parent.Error());
  }
  return std::move(removed_);
}

void Removal::RunFrom(int parent, const std::string& name) {
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) {
      ++removed_.directories;
      return;
    }
    if (errno == ENOENT) return;
    // What cannot be removed will not go by trying again, and was told.
    if (removed_.left_count > 0 || IsCancelled()) return;
    top_ = OpenChild(parent, name.c_str());
    if (!top_ && errno == ENOENT) return;
    if (!top_) return Tell(SysError::Last("open", path_));
    EmptyTop();
  }
  Tell(SysError{ENOTEMPTY, "rmdir", path_});
}

void Removal::EmptyTop() {
  levels_.clear();
  if (!Enter(UniqueFd(openat(top_.Get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path_)) return;
  while (!IsCancelled()) {
    Level& level = levels_.back();
    if (!level.directories.empty()) {
      Descend();
    } else if (level.needs_scan && level.progress_at_scan != Progress()) {
      Scan();
    } else if (IsAtTop()) {
      return;
    } else if (!Leave()) {
      // Somebody has moved the directory out of the tree: the next sweep reaches from the top what is in the
      // tree.
      return;
    }
  }
}

UniqueFd Removal::OpenChild(int parent, const char* name) const {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  constexpr uint64_t kResolve = kResolveNoXdev | kResolveNoMagicLinks | kResolveNoSymlinks | kResolveBeneath;
  UniqueFd fd = OpenAt2(parent, name, kFlags, 0, kResolve);
  if (fd || errno != ENOSYS) return fd;
  // Before Linux 5.6 a bind mount of the same file system is not seen.
  fd.Reset(openat(parent, name, kFlags));
  struct stat above {};
  struct stat here {};
  if (fd && fstat(parent, &above) == 0 && fstat(fd.Get(), &here) == 0 && above.st_dev != here.st_dev) {
    fd.Reset();
    errno = EXDEV;
  }
  return fd;
}

// False, and told, when it cannot be read.
bool Removal::Enter(UniqueFd directory, const std::string& name) {
  struct stat status {};
  if (!directory || fstat(directory.Get(), &status) != 0 || !GoTo(std::move(directory))) {
    Fail("open", name);
    return false;
  }
  Level level;
  level.name = name;
  level.device = status.st_dev;
  level.inode = status.st_ino;
  level.left_before = removed_.left_count;
  levels_.push_back(std::move(level));
  return true;
}

bool Removal::GoTo(UniqueFd directory) {
  Directory opened(fdopendir(directory.Get()));
  if (!opened) return false;
  static_cast<void>(directory.Release());
  here_ = std::move(opened);
  return true;
}

// Removes what can be removed at once, and notes the directories that have to be emptied first.
void Removal::Scan() {
  Level& level = levels_.back();
  level.needs_scan = false;
  level.progress_at_scan = Progress();
  rewinddir(here_.get());
  while (const dirent* entry = readdir(here_.get())) {
    if (IsCancelled()) return;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (level.left.count(entry->d_name) > 0) continue;
    if (level.directories.size() == kMaxBatch) {
      level.needs_scan = true;
      return;
    }
    RemoveEntry(entry->d_name);
  }
}

void Removal::RemoveEntry(const char* name) {
  if (unlinkat(Here(), name, 0) == 0) {
    ++removed_.files;
    return;
  }
  if (errno == ENOENT) return;
  if (errno != EISDIR) return Fail("unlink", name);
  if (unlinkat(Here(), name, AT_REMOVEDIR) == 0) {
    ++removed_.directories;
    return;
  }
  // Also what is busy, such as a mount: the open tells what it is.
  if (errno != ENOENT) levels_.back().directories.push_back(name);
}

void Removal::Descend() {
  Level& level = levels_.back();
  const std::string name = std::move(level.directories.back());
  level.directories.pop_back();
  UniqueFd child = OpenChild(Here(), name.c_str());
  if (!child && errno == ENOENT) return;
  // Something else has the name by now.
  if (!child && (errno == ELOOP || errno == ENOTDIR)) return RemoveEntry(name.c_str());
  if (child && levels_.size() == kMaxDepth) return MoveUp(name);
  Enter(std::move(child), name);
}

void Removal::MoveUp(const std::string& name) {
  const std::string moved = ".tmp-" + RandomHex16();
  if (renameat(Here(), name.c_str(), top_.Get(), moved.c_str()) != 0) return Fail("rename", name);
  levels_.front().needs_scan = true;
  ++moved_;
}

// Up to the directory above, and the empty one is removed. False when the way back does not lead there.
bool Removal::Leave() {
  const Level left = std::move(levels_.back());
  levels_.pop_back();
  Level& level = levels_.back();
  UniqueFd above(openat(Here(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  if (!above || fstat(above.Get(), &status) != 0 || status.st_dev != level.device ||
      status.st_ino != level.inode || !GoTo(std::move(above))) {
    return false;
  }
  if (unlinkat(Here(), left.name.c_str(), AT_REMOVEDIR) == 0) {
    ++removed_.directories;
  } else if (errno == ENOENT) {
    return true;
  } else if (removed_.left_count != left.left_before) {
    // Told: it holds what could not be removed.
    level.left.insert(left.name);
  } else if ((errno == ENOTEMPTY || errno == EEXIST) && ++level.refilled < kMaxSweeps) {
    level.directories.push_back(left.name);
  } else {
    Fail("rmdir", left.name);
  }
  return true;
}

std::string Removal::PathOf(const std::string& name) const {
  if (levels_.empty()) return path_;
  std::string path = path_;
  for (size_t i = 1; i < levels_.size(); ++i) path += "/" + levels_[i].name;
  return path + "/" + name;
}

// Tells of something in the directory that is being emptied, or of the top.
void Removal::Fail(const char* syscall, const std::string& name) {
  const int number = errno;
  if (!levels_.empty() && levels_.back().left.size() < kMaxLeft) levels_.back().left.insert(name);
  Tell(SysError{number, syscall, PathOf(name)});
}

void Removal::Tell(SysError error) {
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
