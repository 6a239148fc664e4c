#include "core/tree_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "core/file_io.h"
#include "core/remove_tree.h"
#include "core/rename_new.h"
#include "core/root_directory.h"
#include "core/unpublished_file.h"

namespace microvm::core {
namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

// One copy into a folder that is made for it; one thread.
class TreeCopy {
 public:
  TreeCopy(const TreeCopyRequest& request, const Cancellation& cancellation, const CopyProgress& on_progress)
      : request_(request), cancellation_(cancellation), on_progress_(on_progress) {}

  // Copies all into the empty folder `target`, which has another name yet.
  Status Run(const std::string& target);
  CopiedTree Take() { return std::move(copied_); }

 private:
  struct Entry {
    std::string name;
    unsigned mode = 0;
  };

  Status List(const RootDirectory& from, const std::string& folder);
  Status Note(const std::string& name, const struct stat& status);
  Status CopyOne(const RootDirectory& from, const RootDirectory& to, const Entry& file);
  Status Finish(const RootDirectory& to, const Entry& folder) const;
  std::string TargetOf(const std::string& name) const { return request_.to + "/" + name; }

  const TreeCopyRequest& request_;
  const Cancellation& cancellation_;
  const CopyProgress& on_progress_;
  std::vector<Entry> folders_;  // each after the one it is in; the first is the whole
  std::vector<Entry> files_;
  uint64_t total_bytes_ = 0;
  uint64_t done_bytes_ = 0;
  CopiedTree copied_;
};

Status TreeCopy::Run(const std::string& target) {
  auto from = RootDirectory::Open(request_.from);
  if (!from.Ok()) return from.Error();
  auto to = RootDirectory::Open(target);
  if (!to.Ok()) return to.Error();
  struct stat status {};
  if (stat(request_.from.c_str(), &status) != 0) return SysError::Last("stat", request_.from);
  folders_.push_back({"", status.st_mode & 0777u});
  // Grows while it is read.
  for (size_t i = 0; i < folders_.size(); ++i) {
    auto listed = List(from.Value(), std::string(folders_[i].name));
    if (!listed.Ok()) return listed;
  }
  for (size_t i = 1; i < folders_.size(); ++i) {
    const SplitName split = SplitBeneath(folders_[i].name);
    auto parent = to.Value().OpenFolder(split.folder);
    if (!parent.Ok()) return parent.Error();
    if (mkdirat(parent.Value().Get(), split.name.c_str(), 0700) != 0) {
      return SysError::Last("mkdir", TargetOf(folders_[i].name));
    }
  }
  for (const Entry& file : files_) {
    auto copied = CopyOne(from.Value(), to.Value(), file);
    if (!copied.Ok()) return copied;
  }
  // The inner ones first: an outer one may lose its permissions.
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    auto finished = Finish(to.Value(), *folder);
    if (!finished.Ok()) return finished;
  }
  copied_.folders = folders_.size();
  if (on_progress_) on_progress_(total_bytes_, total_bytes_);
  return {};
}

Status TreeCopy::List(const RootDirectory& from, const std::string& folder) {
  if (cancellation_.IsRequested()) return SysError{ECANCELED, "getdents", request_.from};
  auto fd = from.OpenFolder(folder);
  if (!fd.Ok()) return fd.Error();
  const int number = fd.Value().Get();
  const Directory entries(fdopendir(number));
  if (!entries) return SysError::Last("opendir", from.PathOf(folder));
  static_cast<void>(fd.Value().Release());
  while (const dirent* entry = readdir(entries.get())) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    const std::string name = folder.empty() ? entry->d_name : folder + "/" + entry->d_name;
    struct stat status {};
    if (fstatat(number, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return SysError::Last("stat", from.PathOf(name));
    }
    auto noted = Note(name, status);
    if (!noted.Ok()) return noted;
  }
  return {};
}

Status TreeCopy::Note(const std::string& name, const struct stat& status) {
  const Entry entry{name, status.st_mode & 0777u};
  if (S_ISDIR(status.st_mode)) {
    folders_.push_back(entry);
    return {};
  }
  if (!S_ISREG(status.st_mode)) {
    return SysError{S_ISLNK(status.st_mode) ? ELOOP : EINVAL, "open", request_.from + "/" + name};
  }
  total_bytes_ += static_cast<uint64_t>(status.st_size);
  files_.push_back(entry);
  return {};
}

Status TreeCopy::CopyOne(const RootDirectory& from, const RootDirectory& to, const Entry& file) {
  RegularFile source;
  auto opened = from.OpenFileOrSocket(file.name, O_RDONLY, 0);
  if (!opened.Ok()) return opened.Error();
  source.fd = std::move(opened.Value());
  if (fstat(source.fd.Get(), &source.status) != 0) return SysError::Last("fstat", from.PathOf(file.name));
  if (!S_ISREG(source.status.st_mode)) return SysError{EINVAL, "open", from.PathOf(file.name)};
  const SplitName split = SplitBeneath(file.name);
  auto folder = to.OpenFolder(split.folder);
  if (!folder.Ok()) return folder.Error();
  auto target = UnpublishedFile::CreateIn(folder.Value().Get(), split.name, TargetOf(file.name), 0600);
  if (!target.Ok()) return target.Error();
  DataCopyRequest data;
  data.from = &source;
  data.to = target.Value().Fd();
  data.from_path = from.PathOf(file.name);
  data.to_path = TargetOf(file.name);
  data.punch_zeros = request_.punch_zeros;
  CopyProgress progress;
  if (on_progress_) {
    progress = [this](uint64_t done, uint64_t) {
      on_progress_(std::min(done_bytes_ + done, total_bytes_), total_bytes_);
    };
  }
  auto copied = CopyData(data, cancellation_, progress);
  if (!copied.Ok()) return copied.Error();
  done_bytes_ += copied.Value().size_bytes;
  if (fchmod(data.to, file.mode) != 0) return SysError::Last("fchmod", data.to_path);
  if (request_.durable && fsync(data.to) != 0) return SysError::Last("fsync", data.to_path);
  if (cancellation_.IsRequested()) return SysError{ECANCELED, "copy_file_range", data.from_path};
  copied_.files.push_back({file.name, copied.Value()});
  return target.Value().PublishNew();
}

Status TreeCopy::Finish(const RootDirectory& to, const Entry& folder) const {
  auto fd = to.OpenFolder(folder.name);
  if (!fd.Ok()) return fd.Error();
  if (request_.durable && fsync(fd.Value().Get()) != 0) {
    return SysError::Last("fsync", TargetOf(folder.name));
  }
  if (fchmod(fd.Value().Get(), folder.mode) != 0) return SysError::Last("fchmod", TargetOf(folder.name));
  return {};
}

}  // namespace

Result<CopiedTree> CopyTree(const TreeCopyRequest& request, const Cancellation& cancellation,
                            const CopyProgress& on_progress) {
  const SplitPath split = Split(request.to);
  auto parent = OpenDirectory(split.directory);
  if (!parent.Ok()) return SysError{parent.Error().number, "open", request.to};
  const int folder = parent.Value().Get();
  const std::string temporary = ".tmp-" + RandomHex16();
  const std::string target = split.directory + "/" + temporary;
  // Told before the copy; the rename tells it for sure.
  struct stat taken {};
  if (fstatat(folder, split.name.c_str(), &taken, AT_SYMLINK_NOFOLLOW) == 0) {
    return SysError{EEXIST, "rename", request.to};
  }
  if (mkdirat(folder, temporary.c_str(), 0700) != 0) return SysError::Last("mkdir", request.to);
  ScopeExit undo([&] { static_cast<void>(RemoveTree(target)); });
  TreeCopy copy(request, cancellation, on_progress);
  auto copied = copy.Run(target);
  if (!copied.Ok()) return copied.Error();
  if (cancellation.IsRequested()) return SysError{ECANCELED, "rename", request.from};
  auto renamed = RenameNew(folder, temporary, folder, split.name);
  if (!renamed.Ok()) return SysError{renamed.Error().number, "rename", request.to};
  undo.Dismiss();
  if (request.durable && fsync(folder) != 0) return SysError::Last("fsync", request.to);
  return copy.Take();
}

}  // namespace microvm::core
