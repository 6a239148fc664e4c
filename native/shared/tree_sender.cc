#include "tree_sender.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string_view>

namespace microvm::tree {
namespace {

// O_NONBLOCK: what was a file a moment ago may be a FIFO now.
constexpr int kOpenFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

Entry EntryOf(Kind kind, std::string_view name, const struct stat& found) {
  Entry entry;
  entry.kind = kind;
  entry.mode = found.st_mode & 07777;
  entry.uid = found.st_uid;
  entry.gid = found.st_gid;
  entry.atime_s = found.st_atim.tv_sec;
  entry.atime_ns = static_cast<uint32_t>(found.st_atim.tv_nsec);
  entry.mtime_s = found.st_mtim.tv_sec;
  entry.mtime_ns = static_cast<uint32_t>(found.st_mtim.tv_nsec);
  entry.name = name;
  return entry;
}

bool HasVanished() { return errno == ENOENT; }

}  // namespace

std::string Sender::PathOf(const std::string& name) const {
  std::string path = root_ + path_;
  if (!name.empty()) path.append("/").append(name);
  return path.size() > kMaxTarget ? root_ : path;
}

FileFailure Sender::Fill(size_t enough, Bytes* out) {
  while (!ended_ && out->size() < enough) {
    const FileFailure failure = file_.fd ? SendContent(out) : SendNext(out);
    if (failure) return failure;
  }
  return Success();
}

FileFailure Sender::Begin(Bytes* out) {
  begun_ = true;
  // Not O_NOFOLLOW: the path itself is the caller's word.
  UniqueFd fd(open(root_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat found {};
  if (!fd || fstat(fd.Get(), &found) != 0) return Failed("open");
  if (S_ISDIR(found.st_mode)) return EnterFolder(std::move(fd), {}, found, out);
  if (S_ISREG(found.st_mode)) return BeginFile(std::move(fd), {}, found, out);
  return {EINVAL, "open", {}};
}

FileFailure Sender::End(Bytes* out) {
  ended_ = true;
  PutMessage(MessageType::kEnd, out);
  return Success();
}

FileFailure Sender::SendNext(Bytes* out) {
  if (levels_.empty()) return begun_ ? End(out) : Begin(out);
  Level& level = levels_.back();
  errno = 0;
  const dirent* entry = readdir(level.folder.get());
  if (entry == nullptr && errno != 0) return Failed("scandir", PathOf({}));
  if (entry == nullptr) {
    PutMessage(MessageType::kUp, out);
    path_.resize(level.path_size);
    levels_.pop_back();
    return Success();
  }
  const std::string_view name = entry->d_name;
  if (name == "." || name == "..") return Success();
  return SendNamed(dirfd(level.folder.get()), std::string(name), out);
}

FileFailure Sender::SendNamed(int parent, const std::string& name, Bytes* out) {
  struct stat found {};
  if (fstatat(parent, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return HasVanished() ? Success() : Failed("lstat", PathOf(name));
  switch (found.st_mode & S_IFMT) {
    case S_IFLNK:
      return SendSymlink(parent, name, found, out);
    case S_IFIFO:
    case S_IFCHR:
    case S_IFBLK: {
      Entry entry = EntryOf(static_cast<Kind>(IFTODT(found.st_mode)), name, found);
      if (!S_ISFIFO(found.st_mode)) entry.device = found.st_rdev;
      PutEntry(entry, out);
      return Success();
    }
    case S_IFDIR:
    case S_IFREG:
      break;
    default:
      // A socket means nothing without the program that listens.
      return Success();
  }
  UniqueFd fd(openat(parent, name.c_str(), kOpenFlags));
  // Replaced by a link or removed, a moment ago.
  if (!fd && (HasVanished() || errno == ELOOP)) return Success();
  if (!fd || fstat(fd.Get(), &found) != 0) return Failed("open", PathOf(name));
  if (S_ISDIR(found.st_mode)) return EnterFolder(std::move(fd), name, found, out);
  if (S_ISREG(found.st_mode)) return BeginFile(std::move(fd), name, found, out);
  return Success();
}

FileFailure Sender::EnterFolder(UniqueFd fd, const std::string& name, const struct stat& found, Bytes* out) {
  if (levels_.size() >= kMaxDepth) return {ENAMETOOLONG, "scandir", PathOf(name)};
  Folder folder(fdopendir(fd.Get()));
  if (!folder) return Failed("scandir", PathOf(name));
  fd.Release();
  PutEntry(EntryOf(Kind::kFolder, name, found), out);
  levels_.push_back({std::move(folder), path_.size()});
  if (!name.empty()) path_.append("/").append(name);
  return Success();
}

std::pair<uint32_t, bool> Sender::LinkOf(const struct stat& found, size_t name_size) {
  if (found.st_nlink < 2 || !options_.with_hard_links) return {0, false};
  const auto key = std::make_pair(found.st_dev, found.st_ino);
  const auto known = links_.find(key);
  if (known != links_.end()) return {known->second, true};
  const size_t cost = path_.size() + name_size + 1 + kLinkCost;
  if (link_memory_ + cost > kMaxLinkMemory) return {0, false};
  link_memory_ += cost;
  const auto number = static_cast<uint32_t>(links_.size() + 1);
  links_.emplace(key, number);
  return {number, false};
}

FileFailure Sender::BeginFile(UniqueFd fd, const std::string& name, const struct stat& found, Bytes* out) {
  const auto [link, was_sent] = LinkOf(found, name.size());
  Entry entry = EntryOf(was_sent ? Kind::kHardLink : Kind::kFile, name, found);
  entry.link = link;
  if (was_sent) {
    PutEntry(entry, out);
    return Success();
  }
  entry.size = static_cast<uint64_t>(found.st_size);
  PutEntry(entry, out);
  file_ = {std::move(fd), 0, 0, entry.size};
  if (entry.size == 0) file_.fd.Reset();
  return Success();
}

FileFailure Sender::SendContent(Bytes* out) {
  const int fd = file_.fd.Get();
  if (file_.at >= file_.data_end && file_.at < file_.size) {
    // File systems without holes call all of it data.
    const off_t data = lseek(fd, static_cast<off_t>(file_.at), SEEK_DATA);
    const bool is_rest_hole = data < 0 && errno == ENXIO;
    const off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
    file_.at = is_rest_hole ? file_.size : data < 0 ? file_.at : static_cast<uint64_t>(data);
    file_.data_end = hole < 0 ? file_.size : std::min(file_.size, static_cast<uint64_t>(hole));
  }
  if (file_.at >= file_.size) {
    file_.fd.Reset();
    return Success();
  }
  const size_t most = std::min<uint64_t>(file_.data_end - file_.at, kMaxContent);
  const size_t before = out->size();
  uint8_t* space = PutContent(file_.at, most, out);
  ssize_t got = pread(fd, space, most, static_cast<off_t>(file_.at));
  while (got < 0 && errno == EINTR) got = pread(fd, space, most, static_cast<off_t>(file_.at));
  if (got == static_cast<ssize_t>(most)) {
    file_.at += most;
    return Success();
  }
  out->resize(before);
  if (got < 0) return Failed("read", PathOf({}));
  // Fewer bytes than it had: it was cut while it was read, or the file system tells them in pieces.
  if (got == 0) {
    file_.fd.Reset();
    return Success();
  }
  file_.data_end = file_.at + static_cast<uint64_t>(got);
  return Success();
}

FileFailure Sender::SendSymlink(int parent, const std::string& name, const struct stat& found, Bytes* out) {
  char target[PATH_MAX];
  const ssize_t size = readlinkat(parent, name.c_str(), target, sizeof(target));
  // EINVAL: it is no link any more.
  if (size < 0) return HasVanished() || errno == EINVAL ? Success() : Failed("readlink", PathOf(name));
  if (static_cast<size_t>(size) > kMaxTarget || size == 0) return {ENAMETOOLONG, "readlink", PathOf(name)};
  Entry entry = EntryOf(Kind::kSymlink, name, found);
  entry.target = std::string_view(target, static_cast<size_t>(size));
  PutEntry(entry, out);
  return Success();
}

}  // namespace microvm::tree
