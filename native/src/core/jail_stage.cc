#include "core/jail_stage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "core/data_copy.h"
#include "core/file_io.h"
#include "core/file_owner.h"
#include "core/jail_undo.h"
#include "core/link_open_file.h"
#include "core/rename_new.h"
#include "core/root_directory.h"
#include "core/unpublished_file.h"

namespace microvm::core {
namespace {

constexpr unsigned kRootMode = 0700;
constexpr unsigned kSharedMode = 0444;

// One staging; one thread.
class Staging {
 public:
  Staging(const JailPlan& plan, const Cancellation& cancellation)
      : plan_(plan), cancellation_(cancellation), our_uid_(geteuid()), our_gid_(getegid()) {}

  Result<std::vector<StagedFile>> Run();

 private:
  // Where something will be.
  struct Place {
    int folder;  // until the next place is asked for
    std::string name;
    std::string path;
  };
  // A copy, shared or private.
  struct NewFile {
    std::string name;
    std::string from;
    const RegularFile* source = nullptr;
    bool is_private = false;
    unsigned mode = 0;
    std::optional<uint64_t> size_bytes;
  };

  Status StageAll();
  Status MakeRoot();
  Status MakeFolder(const JailFolder& folder);
  Status StageShared(const SharedFile& file);
  Status StagePrivate(const PrivateFile& file);
  Status StageNew(const NewFile& file);
  Status StageEmpty(const PrivateFile& file);
  Status StageOwn(const PrivateFile& file, const RegularFile& source);
  Result<bool> LinkShared(const SharedFile& file);
  Status Link(int source, const std::string& from, const std::string& name);
  Result<Arrival> Fill(int fd, const NewFile& file, const std::string& path);
  static uint64_t SizeOf(const NewFile& file);
  Status SetOwner(int fd, bool is_private, unsigned mode, const std::string& path) const;
  Result<Place> PlaceOf(const std::string& name);
  Result<int> OpenFolder(const std::string& name);
  Status CheckCancelled() const;
  void Staged(const std::string& name, Arrival arrival, uint64_t size_bytes);

  const JailPlan& plan_;
  const Cancellation& cancellation_;
  const uid_t our_uid_;
  const gid_t our_gid_;
  std::unique_ptr<RootDirectory> root_;
  // The folder that was opened last: what is in one folder comes together in most plans.
  std::string folder_name_;
  UniqueFd folder_;
  JailUndo undo_;
  std::vector<StagedFile> staged_;
};

Result<std::vector<StagedFile>> Staging::Run() {
  auto all = StageAll();
  if (all.Ok()) return std::move(staged_);
  SysError error = all.Error();
  const std::string left = undo_.Run(root_.get());
  if (!left.empty()) error.detail = "'" + left + "' could not be removed again";
  return error;
}

Status Staging::StageAll() {
  auto made = MakeRoot();
  if (!made.Ok()) return made;
  for (const JailFolder& folder : plan_.folders) {
    auto status = MakeFolder(folder);
    if (!status.Ok()) return status;
  }
  for (const SharedFile& file : plan_.shared) {
    auto status = StageShared(file);
    if (!status.Ok()) return status;
  }
  for (const PrivateFile& file : plan_.privates) {
    auto status = StagePrivate(file);
    if (!status.Ok()) return status;
  }
  return CheckCancelled();
}

Status Staging::MakeRoot() {
  auto cancelled = CheckCancelled();
  if (!cancelled.Ok()) return cancelled;
  for (const std::string& path : {Split(plan_.root).directory, plan_.root}) {
    if (mkdir(path.c_str(), kRootMode) == 0) {
      undo_.MadeRoot(path);
    } else if (errno != EEXIST) {
      return SysError::Last("mkdir", path);
    }
  }
  auto root = RootDirectory::Open(plan_.root);
  if (!root.Ok()) return root.Error();
  root_ = std::make_unique<RootDirectory>(std::move(root.Value()));
  return {};
}

Status Staging::MakeFolder(const JailFolder& folder) {
  auto place = PlaceOf(folder.name);
  if (!place.Ok()) return place.Error();
  const std::string& path = place.Value().path;
  if (mkdirat(place.Value().folder, place.Value().name.c_str(), folder.mode | 0700) != 0) {
    return SysError::Last("mkdir", path);
  }
  undo_.MadeFolder(folder.name);
  auto opened = OpenFolder(folder.name);
  if (!opened.Ok()) return opened.Error();
  return SetOwner(opened.Value(), folder.is_private, folder.mode, path);
}

Status Staging::StageShared(const SharedFile& file) {
  auto linked = LinkShared(file);
  if (!linked.Ok()) return linked.Error();
  if (linked.Value()) return {};
  auto source = OpenRegularFile(file.from);
  if (!source.Ok()) return source.Error();
  return StageNew({file.name, file.from, &source.Value(), false, kSharedMode, {}});
}

// A link is the file itself, so the file must already be as a shared one has to be. False when it is not, or
// when the kernel does not link it: another file system, too many links, not ours.
Result<bool> Staging::LinkShared(const SharedFile& file) {
  // Its name only: what is linked need not be opened.
  auto source = OpenFile(file.from, O_PATH);
  if (!source.Ok()) return source.Error();
  const int fd = source.Value().Get();
  struct stat status {};
  if (fstat(fd, &status) != 0) return SysError::Last("fstat", file.from);
  if (status.st_uid != our_uid_ || status.st_mode != (S_IFREG | kSharedMode)) return false;
  auto linked = Link(fd, file.from, file.name);
  if (linked.Ok()) {
    Staged(file.name, Arrival::kLink, static_cast<uint64_t>(status.st_size));
    return true;
  }
  switch (linked.Error().number) {
    case EXDEV:
    case EMLINK:
    case EPERM:
    case EOPNOTSUPP:
      return false;
    default:
      return linked.Error();
  }
}

Status Staging::StagePrivate(const PrivateFile& file) {
  if (file.origin == PrivateOrigin::kEmpty) return StageEmpty(file);
  auto source = OpenRegularFile(file.from);
  if (!source.Ok()) return source.Error();
  if (file.origin != PrivateOrigin::kCopy) return StageOwn(file, source.Value());
  return StageNew({file.name, file.from, &source.Value(), true, file.mode, file.size_bytes});
}

Status Staging::StageNew(const NewFile& file) {
  auto place = PlaceOf(file.name);
  if (!place.Ok()) return place.Error();
  const std::string& path = place.Value().path;
  auto target = UnpublishedFile::CreateIn(place.Value().folder, place.Value().name, path, file.mode);
  if (!target.Ok()) return target.Error();
  const int fd = target.Value().Fd();
  // The owner first: it has no other one while there is anything in it, nor under its name.
  auto owned = SetOwner(fd, file.is_private, file.mode, path);
  if (!owned.Ok()) return owned;
  auto filled = Fill(fd, file, path);
  if (!filled.Ok()) return filled.Error();
  auto published = target.Value().PublishNew();
  if (!published.Ok()) return published;
  undo_.MadeFile(file.name);
  Staged(file.name, filled.Value(), SizeOf(file));
  return {};
}

// Made under its name: there is nothing in it that could be half there.
Status Staging::StageEmpty(const PrivateFile& file) {
  auto place = PlaceOf(file.name);
  if (!place.Ok()) return place.Error();
  const std::string& path = place.Value().path;
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const UniqueFd fd(RetryOnSignal(
      [&] { return openat(place.Value().folder, place.Value().name.c_str(), kFlags, file.mode); }));
  if (!fd) return SysError::Last("open", path);
  undo_.MadeFile(file.name);
  auto owned = SetOwner(fd.Get(), true, file.mode, path);
  if (!owned.Ok()) return owned;
  const uint64_t size = file.size_bytes.value_or(0);
  if (size > 0 && ftruncate(fd.Get(), static_cast<off_t>(size)) != 0) {
    return SysError::Last("ftruncate", path);
  }
  Staged(file.name, Arrival::kEmpty, size);
  return {};
}

// A file that is the VM's already. It is never made so: what else has that inode's name, nobody knows.
Status Staging::StageOwn(const PrivateFile& file, const RegularFile& source) {
  const struct stat& status = source.status;
  if (status.st_uid != plan_.uid || status.st_gid != plan_.gid) {
    SysError error{EPERM, file.origin == PrivateOrigin::kMove ? "rename" : "link", file.from};
    error.detail = "it belongs to " + std::to_string(status.st_uid) + ":" + std::to_string(status.st_gid);
    return error;
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  if (file.origin == PrivateOrigin::kLink) {
    auto linked = Link(source.fd.Get(), file.from, file.name);
    if (linked.Ok()) Staged(file.name, Arrival::kLink, size);
    return linked;
  }
  auto place = PlaceOf(file.name);
  if (!place.Ok()) return place.Error();
  auto moved = RenameNew(AT_FDCWD, file.from, place.Value().folder, place.Value().name);
  if (!moved.Ok()) return SysError{moved.Error().number, "rename", place.Value().path};
  undo_.MovedFile(file.name, file.from);
  Staged(file.name, Arrival::kMove, size);
  return {};
}

// Links that very file, whatever its path names by now.
Status Staging::Link(int source, const std::string& from, const std::string& name) {
  auto place = PlaceOf(name);
  if (!place.Ok()) return place.Error();
  auto linked = LinkOpenFile(source, place.Value().folder, place.Value().name);
  if (!linked.Ok()) {
    const int number = linked.Error().number;
    return SysError{number, "link", number == EEXIST ? place.Value().path : from};
  }
  undo_.MadeFile(name);
  return {};
}

Result<Arrival> Staging::Fill(int fd, const NewFile& file, const std::string& path) {
  if (SizeOf(file) < static_cast<uint64_t>(file.source->status.st_size)) {
    return SysError{EFBIG, "ftruncate", file.from};
  }
  DataCopyRequest data;
  data.from = file.source;
  data.to = fd;
  data.from_path = file.from;
  data.to_path = path;
  auto copied = CopyData(data, cancellation_, {});
  if (!copied.Ok()) return copied.Error();
  if (file.size_bytes && ftruncate(fd, static_cast<off_t>(*file.size_bytes)) != 0) {
    return SysError::Last("ftruncate", path);
  }
  return copied.Value().method == CopyMethod::kReflink ? Arrival::kReflink : Arrival::kCopy;
}

uint64_t Staging::SizeOf(const NewFile& file) {
  return file.size_bytes.value_or(static_cast<uint64_t>(file.source->status.st_size));
}

Status Staging::SetOwner(int fd, bool is_private, unsigned mode, const std::string& path) const {
  return SetOwnerAndMode(fd, is_private ? plan_.uid : our_uid_, is_private ? plan_.gid : our_gid_, mode,
                         path);
}

Result<Staging::Place> Staging::PlaceOf(const std::string& name) {
  auto cancelled = CheckCancelled();
  if (!cancelled.Ok()) return cancelled.Error();
  SplitName split = SplitBeneath(name);
  auto folder = OpenFolder(split.folder);
  if (!folder.Ok()) return folder.Error();
  return Place{folder.Value(), std::move(split.name), root_->PathOf(name)};
}

Result<int> Staging::OpenFolder(const std::string& name) {
  if (name.empty()) return root_->Fd();
  if (!folder_ || folder_name_ != name) {
    auto opened = root_->OpenFolder(name);
    if (!opened.Ok()) return opened.Error();
    folder_ = std::move(opened.Value());
    folder_name_ = name;
  }
  return folder_.Get();
}

Status Staging::CheckCancelled() const {
  return cancellation_.IsRequested() ? SysError{ECANCELED, "openat2", plan_.root} : Status();
}

void Staging::Staged(const std::string& name, Arrival arrival, uint64_t size_bytes) {
  staged_.push_back({name, arrival, size_bytes});
}

}  // namespace

Result<std::vector<StagedFile>> StageJail(const JailPlan& plan, const Cancellation& cancellation) {
  return Staging(plan, cancellation).Run();
}

}  // namespace microvm::core
