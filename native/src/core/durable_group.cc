#include "core/durable_group.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file_io.h"

namespace microvm::core {
namespace {

constexpr unsigned kNewFileMode = 0600;

}  // namespace

DurableGroup::DurableGroup(std::vector<DurableChange> changes) : steps_(changes.size()) {
  for (size_t i = 0; i < changes.size(); ++i) {
    Step& step = steps_[i];
    step.change = std::move(changes[i]);
    const SplitPath split = Split(step.change.path);
    step.name = split.name;
    step.folder = FolderOf(split.directory);
    step.status = step.folder->opened;
    if (step.change.kind != DurableChange::Kind::kRename) continue;
    const SplitPath target = Split(step.change.target);
    step.target_name = target.name;
    step.target_folder = FolderOf(target.directory);
    if (step.status.Ok()) step.status = step.target_folder->opened;
  }
}

DurableGroup::Folder* DurableGroup::FolderOf(const std::string& path) {
  const auto [entry, is_new] = folders_.try_emplace(path);
  Folder& folder = entry->second;
  if (is_new) {
    folder.path = path;
    auto fd = OpenDirectory(path);
    if (fd.Ok()) {
      folder.fd = std::move(fd.Value());
    } else {
      folder.opened = fd.Error();
    }
  }
  return &folder;
}

void DurableGroup::Commit(ParallelRunner* disks) {
  std::vector<Step*> writes;
  for (Step& step : steps_) {
    if (step.change.kind == DurableChange::Kind::kWrite && step.status.Ok()) writes.push_back(&step);
  }
  const bool many = writes.size() > 1;
  disks->Run(writes.size(), [&](size_t i) { WriteTemporary(writes[i], many); });
  disks->Run(writes.size(), [&](size_t i) { SyncTemporary(writes[i]); });
  for (Step& step : steps_) Apply(&step);

  std::vector<Folder*> changed;
  for (auto& [path, folder] : folders_) {
    if (folder.is_changed) changed.push_back(&folder);
  }
  disks->Run(changed.size(), [&](size_t i) {
    if (fsync(changed[i]->fd.Get()) != 0) changed[i]->synced = SysError::Last("fsync", changed[i]->path);
  });
  for (Step& step : steps_) Report(&step);
}

void DurableGroup::WriteTemporary(Step* step, bool start_writeback) {
  const std::string& path = step->change.path;
  const int folder = step->folder->fd.Get();
  struct stat old {};
  const bool exists =
      fstatat(folder, step->name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode);
  step->temporary_name = ".tmp-" + RandomHex16();
  step->temporary.Reset(RetryOnSignal([&] {
    return openat(folder, step->temporary_name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  kNewFileMode);
  }));
  if (!step->temporary) {
    step->status = SysError::Last("open", path);
    return;
  }
  const int fd = step->temporary.Get();
  step->status = WriteAll(fd, step->change.data, path);
  if (!step->status.Ok()) return;
  if (exists && (old.st_mode & 07777) != kNewFileMode && fchmod(fd, old.st_mode & 07777) != 0) {
    step->status = SysError::Last("fchmod", path);
  }
  // Delayed allocation ends here for all files, before the first sync, so that one journal commit can take
  // them all.
  if (start_writeback) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void DurableGroup::SyncTemporary(Step* step) {
  if (!step->status.Ok()) return;
  if (fsync(step->temporary.Get()) != 0) step->status = SysError::Last("fsync", step->change.path);
  step->temporary.Reset();
}

void DurableGroup::Apply(Step* step) {
  const std::string& path = step->change.path;
  const int folder = step->folder->fd.Get();
  if (step->status.Ok()) {
    switch (step->change.kind) {
      case DurableChange::Kind::kWrite:
        if (renameat(folder, step->temporary_name.c_str(), folder, step->name.c_str()) != 0) {
          step->status = SysError::Last("rename", path);
        }
        break;
      case DurableChange::Kind::kRemove:
        if (unlinkat(folder, step->name.c_str(), 0) != 0) step->status = SysError::Last("unlink", path);
        break;
      case DurableChange::Kind::kRename:
        if (renameat(folder, step->name.c_str(), step->target_folder->fd.Get(), step->target_name.c_str()) !=
            0) {
          step->status = SysError::Last("rename", path);
        }
        break;
    }
  }
  if (step->status.Ok()) {
    step->folder->is_changed = true;
    if (step->target_folder != nullptr) step->target_folder->is_changed = true;
  } else if (!step->temporary_name.empty()) {
    unlinkat(folder, step->temporary_name.c_str(), 0);
  }
}

void DurableGroup::Report(Step* step) {
  if (step->status.Ok()) step->status = step->folder->synced;
  if (step->status.Ok() && step->target_folder != nullptr) step->status = step->target_folder->synced;
  step->change.done(step->status);
}

}  // namespace microvm::core
