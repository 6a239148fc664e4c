#include "core/durable_commit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file_io.h"
#include "core/handles.h"
#include "core/rename_new.h"

namespace microvm::core {
namespace {

constexpr unsigned kNewFileMode = 0600;

Status SyncFolder(const UniqueFd& folder, const std::string& path) {
  return fsync(folder.Get()) == 0 ? Status() : SysError::Last("fsync", path);
}

// The steps of one change. One that comes after a failure does nothing.
class Commit {
 public:
  explicit Commit(const DurableChange& change)
      : change_(change),
        path_(Split(change.path)),
        temporary_(change.keep_spare ? ".spare-" + path_.name : ".tmp-" + RandomHex16()) {}

  // A file beside the one that it will replace. `begin_flush`: the disk may begin with it.
  void Write(bool begin_flush);
  // That file is on the disk, or the one that gets another name.
  void Flush();
  // The change is there for all to see.
  void Apply();
  // And on the disk.
  const Status& Sync();

 private:
  Status WriteTemporary();
  int FileToFlush() const;
  Status ApplyChange();
  bool Rename(unsigned flags);
  Status Move();
  Status Publish();

  const DurableChange& change_;
  const SplitPath path_;
  const std::string temporary_;
  UniqueFd folder_;
  UniqueFd file_;
  // kRename: when it is another one.
  UniqueFd target_folder_;
  // kWrite: the file that is replaced is to become the spare one; it has become so.
  bool exchanges_ = false;
  bool has_exchanged_ = false;
  Status status_;
};

void Commit::Write(bool begin_flush) {
  auto folder = OpenDirectory(path_.directory);
  if (!folder.Ok()) {
    status_ = folder.Error();
    return;
  }
  folder_ = std::move(folder.Value());
  if (change_.kind == DurableChange::Kind::kWrite) status_ = WriteTemporary();
  if (!status_.Ok() && file_) unlinkat(folder_.Get(), temporary_.c_str(), 0);
  // A hint: what comes of it, Flush sees.
  if (status_.Ok() && begin_flush && FileToFlush() >= 0) {
    static_cast<void>(sync_file_range(FileToFlush(), 0, 0, SYNC_FILE_RANGE_WRITE));
  }
}

int Commit::FileToFlush() const {
  if (change_.unpublished) return change_.unpublished->Fd();
  return change_.content ? change_.content.Get() : file_.Get();
}

// It has the mode of the one that it will replace.
Status Commit::WriteTemporary() {
  struct stat old {};
  const bool exists =
      fstatat(folder_.Get(), path_.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode);
  // By another name it is somebody's who wants it as it is.
  exchanges_ = change_.keep_spare && exists && old.st_nlink == 1;
  const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (change_.keep_spare ? 0 : O_EXCL);
  file_ =
      UniqueFd(RetryOnSignal([&] { return openat(folder_.Get(), temporary_.c_str(), flags, kNewFileMode); }));
  if (!file_) return SysError::Last("open", change_.path);
  auto written = WriteAll(file_.Get(), change_.data, change_.path);
  if (!written.Ok()) return written;
  struct stat status {};
  if (fstat(file_.Get(), &status) != 0) return SysError::Last("fstat", change_.path);
  const auto size = static_cast<off_t>(change_.data.size());
  if (status.st_size != size && ftruncate(file_.Get(), size) != 0) {
    return SysError::Last("ftruncate", change_.path);
  }
  const unsigned mode = exists ? old.st_mode & 07777 : kNewFileMode;
  if ((status.st_mode & 07777) != mode && fchmod(file_.Get(), mode) != 0) {
    return SysError::Last("fchmod", change_.path);
  }
  return {};
}

void Commit::Flush() {
  if (!status_.Ok() || FileToFlush() < 0) return;
  if (fsync(FileToFlush()) != 0) {
    status_ = SysError::Last("fsync", change_.path);
    if (file_) unlinkat(folder_.Get(), temporary_.c_str(), 0);
  }
  file_.Reset();
}

void Commit::Apply() {
  if (status_.Ok()) status_ = ApplyChange();
}

Status Commit::ApplyChange() {
  const int folder = folder_.Get();
  switch (change_.kind) {
    case DurableChange::Kind::kWrite: {
      // A file system that cannot exchange names loses the spare one, not the write.
      has_exchanged_ = exchanges_ && Rename(RENAME_EXCHANGE);
      if (has_exchanged_ || Rename(0)) return {};
      const Status failed = SysError::Last("rename", change_.path);
      unlinkat(folder, temporary_.c_str(), 0);
      return failed;
    }
    case DurableChange::Kind::kRename:
      return Move();
    case DurableChange::Kind::kPublish:
      return Publish();
    case DurableChange::Kind::kRemove:
      break;
  }
  return unlinkat(folder, path_.name.c_str(), 0) == 0 ? Status() : SysError::Last("unlink", change_.path);
}

bool Commit::Rename(unsigned flags) {
  const int folder = folder_.Get();
  return renameat2(folder, temporary_.c_str(), folder, path_.name.c_str(), flags) == 0;
}

Status Commit::Move() {
  const SplitPath to = Split(change_.target);
  auto target = OpenDirectory(to.directory);
  if (!target.Ok()) return target.Error();
  const int to_folder = target.Value().Get();
  if (change_.replaces) {
    if (renameat(folder_.Get(), path_.name.c_str(), to_folder, to.name.c_str()) != 0) {
      return SysError::Last("rename", change_.path);
    }
  } else {
    auto renamed = RenameNew(folder_.Get(), path_.name, to_folder, to.name);
    if (!renamed.Ok()) return SysError{renamed.Error().number, "rename", change_.target};
  }
  if (to.directory != path_.directory) target_folder_ = std::move(target.Value());
  return {};
}

Status Commit::Publish() {
  return change_.replaces ? change_.unpublished->Publish(false) : change_.unpublished->PublishNew();
}

const Status& Commit::Sync() {
  if (status_.Ok() && target_folder_) status_ = SyncFolder(target_folder_, change_.target);
  if (status_.Ok()) status_ = SyncFolder(folder_, path_.directory);
  // Nobody knows which of the two names the disk has for which file: the one that was replaced may still be
  // the one that a power cut brings back, so no later write may go into it.
  if (!status_.Ok() && has_exchanged_) unlinkat(folder_.Get(), temporary_.c_str(), 0);
  return status_;
}

}  // namespace

void CommitDurably(const std::vector<const DurableChange*>& changes,
                   const std::function<void(size_t index, const Status&)>& on_end) {
  std::vector<Commit> commits;
  commits.reserve(changes.size());
  for (const DurableChange* change : changes) commits.emplace_back(*change);
  for (Commit& commit : commits) commit.Write(commits.size() > 1);
  for (Commit& commit : commits) commit.Flush();
  for (Commit& commit : commits) commit.Apply();
  for (size_t i = 0; i < commits.size(); ++i) on_end(i, commits[i].Sync());
}

}  // namespace microvm::core
