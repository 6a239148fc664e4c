#include "core/durable_commit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file_io.h"
#include "core/handles.h"

namespace microvm::core {
namespace {

constexpr unsigned kNewFileMode = 0600;

// A new file in the folder, with its content on the disk; it has the mode of the one that it will replace.
Status WriteTemporary(int folder, const std::string& temporary, const std::string& name,
                      const DurableChange& change) {
  struct stat old {};
  const bool exists = fstatat(folder, name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode);
  const UniqueFd file(RetryOnSignal([&] {
    return openat(folder, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  kNewFileMode);
  }));
  if (!file) return SysError::Last("open", change.path);
  auto written = WriteAll(file.Get(), change.data, change.path);
  if (!written.Ok()) return written;
  if (exists && (old.st_mode & 07777) != kNewFileMode && fchmod(file.Get(), old.st_mode & 07777) != 0) {
    return SysError::Last("fchmod", change.path);
  }
  if (fsync(file.Get()) != 0) return SysError::Last("fsync", change.path);
  return {};
}

Status Replace(int folder, const std::string& name, const DurableChange& change) {
  const std::string temporary = ".tmp-" + RandomHex16();
  auto status = WriteTemporary(folder, temporary, name, change);
  if (status.Ok() && renameat(folder, temporary.c_str(), folder, name.c_str()) != 0) {
    status = SysError::Last("rename", change.path);
  }
  if (!status.Ok()) unlinkat(folder, temporary.c_str(), 0);
  return status;
}

Status Sync(int folder, const std::string& path) {
  if (fsync(folder) != 0) return SysError::Last("fsync", path);
  return {};
}

Status Move(int folder, const SplitPath& from, const DurableChange& change) {
  const SplitPath to = Split(change.target);
  auto target = OpenDirectory(to.directory);
  if (!target.Ok()) return target.Error();
  if (renameat(folder, from.name.c_str(), target.Value().Get(), to.name.c_str()) != 0) {
    return SysError::Last("rename", change.path);
  }
  if (to.directory == from.directory) return {};
  return Sync(target.Value().Get(), to.directory);
}

Status Apply(int folder, const SplitPath& path, const DurableChange& change) {
  switch (change.kind) {
    case DurableChange::Kind::kWrite:
      return Replace(folder, path.name, change);
    case DurableChange::Kind::kRename:
      return Move(folder, path, change);
    case DurableChange::Kind::kRemove:
      break;
  }
  if (unlinkat(folder, path.name.c_str(), 0) != 0) return SysError::Last("unlink", change.path);
  return {};
}

}  // namespace

Status CommitDurably(const DurableChange& change) {
  const SplitPath path = Split(change.path);
  auto folder = OpenDirectory(path.directory);
  if (!folder.Ok()) return folder.Error();
  auto applied = Apply(folder.Value().Get(), path, change);
  if (!applied.Ok()) return applied;
  return Sync(folder.Value().Get(), path.directory);
}

}  // namespace microvm::core
