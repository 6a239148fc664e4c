#include "core/unpublished_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core/file_io.h"
#include "core/link_open_file.h"
#include "core/rename_new.h"

namespace microvm::core {
namespace {

std::string TemporaryName() { return ".tmp-" + RandomHex16(); }

}  // namespace

Result<UnpublishedFile> UnpublishedFile::Create(const std::string& path, unsigned mode) {
  const SplitPath split = Split(path);
  auto folder = OpenDirectory(split.directory);
  if (!folder.Ok()) return SysError{folder.Error().number, "open", path};
  auto created = CreateIn(folder.Value().Get(), split.name, path, mode);
  if (created.Ok()) created.Value().own_folder_ = std::move(folder.Value());
  return created;
}

Result<UnpublishedFile> UnpublishedFile::CreateIn(int folder, const std::string& name,
                                                  const std::string& path, unsigned mode) {
  UnpublishedFile created;
  created.path_ = path;
  created.name_ = name;
  created.folder_ = folder;
  created.file_.Reset(
      RetryOnSignal([&] { return openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode); }));
  if (created.file_) return created;
  // EOPNOTSUPP: this file system has no nameless files. EISDIR, ENOENT: nor has this kernel.
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT) return SysError::Last("open", path);
  const std::string temporary = TemporaryName();
  created.file_.Reset(RetryOnSignal([&] {
    return openat(folder, temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  }));
  if (!created.file_) return SysError::Last("open", path);
  created.temporary_name_ = temporary;
  return created;
}

UnpublishedFile::~UnpublishedFile() {
  if (file_ && !temporary_name_.empty()) unlinkat(folder_, temporary_name_.c_str(), 0);
}

Status UnpublishedFile::Link(const std::string& name) {
  auto linked = LinkOpenFile(file_.Get(), folder_, name);
  if (!linked.Ok()) return SysError{linked.Error().number, "link", path_};
  return {};
}

Status UnpublishedFile::PublishNew() {
  if (temporary_name_.empty()) return Link(name_);
  auto renamed = RenameNew(folder_, temporary_name_, folder_, name_);
  if (!renamed.Ok()) return SysError{renamed.Error().number, "rename", path_};
  temporary_name_.clear();
  return {};
}

Status UnpublishedFile::Publish(bool durable) {
  if (durable && fsync(file_.Get()) != 0) return SysError::Last("fsync", path_);
  bool is_published = false;
  if (temporary_name_.empty()) {
    auto linked = Link(name_);
    is_published = linked.Ok();
    if (!is_published && linked.Error().number != EEXIST) return linked;
  }
  if (!is_published && temporary_name_.empty()) {
    const std::string name = TemporaryName();
    auto linked = Link(name);
    if (!linked.Ok()) return linked;
    temporary_name_ = name;
  }
  if (!is_published) {
    if (renameat(folder_, temporary_name_.c_str(), folder_, name_.c_str()) != 0) {
      return SysError::Last("rename", path_);
    }
    temporary_name_.clear();
  }
  if (durable && fsync(folder_) != 0) return SysError::Last("fsync", path_);
  return {};
}

}  // namespace microvm::core
