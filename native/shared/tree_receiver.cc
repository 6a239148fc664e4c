#include "tree_receiver.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace microvm::tree {
namespace {

constexpr uint32_t kPlainMode = 0777;
constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

FileFailure Broken() { return {EPROTO, "read", {}}; }

// Runs a call that makes a name; something there that is no folder is removed, once.
template <typename Make>
int MakeOver(int parent, const std::string& name, const Make& make) {
  const int made = make();
  if (made >= 0 || errno != EEXIST) return made;
  if (unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
    // As a folder is in the way, whatever the file system says of it.
    if (errno == EPERM) errno = EISDIR;
    return -1;
  }
  return make();
}

// A path cut at its last component; `folder` ends with a slash. Empty name: it is the root of all.
struct Place {
  std::string folder;
  std::string name;
};

Place PlaceOf(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"./", path};
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

}  // namespace

std::string Receiver::PathOf(const std::string& name) const {
  std::string path = target_ + path_;
  if (!name.empty()) path.append("/").append(name);
  return path.size() > kMaxTarget ? target_ : path;
}

Receiver::Attributes Receiver::AttributesOf(const Entry& entry) const {
  Attributes attributes;
  attributes.mode = options_.with_owners ? entry.mode : entry.mode & kPlainMode;
  attributes.uid = entry.uid;
  attributes.gid = entry.gid;
  attributes.times[0] = {static_cast<time_t>(entry.atime_s), static_cast<long>(entry.atime_ns)};
  attributes.times[1] = {static_cast<time_t>(entry.mtime_s), static_cast<long>(entry.mtime_ns)};
  return attributes;
}

FileFailure Receiver::Take(uint8_t type, const uint8_t* body, size_t size) {
  if (ended_) return Broken();
  if (static_cast<MessageType>(type) == MessageType::kContent) return TakeContent(body, size);
  if (file_.fd) {
    if (const FileFailure failure = FinishFile()) return failure;
  }
  switch (static_cast<MessageType>(type)) {
    case MessageType::kEntry:
      return TakeEntry(body, size);
    case MessageType::kUp:
      return size == 0 && !levels_.empty() ? TakeUp() : Broken();
    case MessageType::kEnd:
      if (size != 0 || !begun_ || !levels_.empty()) return Broken();
      ended_ = true;
      return Success();
    default:
      return Broken();
  }
}

FileFailure Receiver::TakeEntry(const uint8_t* body, size_t size) {
  Entry entry;
  if (!DecodeEntry(body, size, &entry)) return Broken();
  if (entry.name.empty() == begun_) return Broken();
  if (begun_ && levels_.empty()) return Broken();
  if (++counts_.entries > options_.max_entries) return {EOVERFLOW, "entries", {}};
  if (!begun_) return MakeRoot(entry);
  return Make(levels_.back().fd.Get(), std::string(entry.name), entry);
}

FileFailure Receiver::MakeRoot(const Entry& entry) {
  begun_ = true;
  if (entry.kind != Kind::kFolder && entry.kind != Kind::kFile) return Broken();
  if (entry.kind == Kind::kFolder) {
    // The target is the caller's own word: a link that it is leads to where the tree goes.
    UniqueFd there(open(target_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (there) {
      levels_.push_back({std::move(there), AttributesOf(entry), 0});
      return Success();
    }
  }
  const Place place = PlaceOf(target_);
  const UniqueFd folder(open(place.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return Failed("open");
  if (place.name.empty() || place.name == "." || place.name == "..") return {EISDIR, "open", {}};
  return Make(folder.Get(), place.name, entry);
}

FileFailure Receiver::Make(int parent, const std::string& name, const Entry& entry) {
  switch (entry.kind) {
    case Kind::kFolder:
      return MakeFolder(parent, name, entry);
    case Kind::kFile:
      return MakeFile(parent, name, entry);
    case Kind::kSymlink:
      return MakeSymlink(parent, name, entry);
    case Kind::kHardLink:
      return MakeHardLink(parent, name, entry);
    default:
      return MakeDevice(parent, name, entry);
  }
}

FileFailure Receiver::MakeFolder(int parent, const std::string& name, const Entry& entry) {
  if (levels_.size() >= kMaxDepth) return {ENAMETOOLONG, "mkdir", PathOf({})};
  // Its own mode comes when all is in it.
  UniqueFd fd;
  if (mkdirat(parent, name.c_str(), 0700) != 0) {
    if (errno != EEXIST) return Failed("mkdir", PathOf(name));
    fd = UniqueFd(openat(parent, name.c_str(), kFolderFlags));
    if (!fd && errno != ENOTDIR && errno != ELOOP) return Failed("open", PathOf(name));
    const auto make = [&] { return mkdirat(parent, name.c_str(), 0700); };
    if (!fd && MakeOver(parent, name, make) != 0) return Failed("mkdir", PathOf(name));
  }
  if (!fd) fd = UniqueFd(openat(parent, name.c_str(), kFolderFlags));
  if (!fd) return Failed("open", PathOf(name));
  const size_t path_size = path_.size();
  if (!entry.name.empty()) path_.append("/").append(name);
  levels_.push_back({std::move(fd), AttributesOf(entry), path_size});
  return Success();
}

FileFailure Receiver::MakeFile(int parent, const std::string& name, const Entry& entry) {
  const auto make = [&] {
    return openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  };
  UniqueFd fd(MakeOver(parent, name, make));
  if (!fd) return Failed("open", PathOf(entry.name.empty() ? std::string() : name));
  if (const FileFailure failure = Remember(entry)) return failure;
  file_ = {std::move(fd), AttributesOf(entry), entry.size, 0, std::string(entry.name)};
  return Success();
}

FileFailure Receiver::Remember(const Entry& entry) {
  if (entry.link == 0) return Success();
  std::string path = path_ + "/" + std::string(entry.name);
  link_memory_ += path.size() + kLinkCost;
  // Nobody can be asked for more by a sender of ours.
  if (link_memory_ > kMaxLinkMemory) return {EOVERFLOW, "link", {}};
  return links_.emplace(entry.link, std::move(path)).second ? Success() : Broken();
}

FileFailure Receiver::MakeSymlink(int parent, const std::string& name, const Entry& entry) {
  const std::string target(entry.target);
  const auto make = [&] { return symlinkat(target.c_str(), parent, name.c_str()); };
  if (MakeOver(parent, name, make) != 0) return Failed("symlink", PathOf(name));
  const Attributes attributes = AttributesOf(entry);
  if (options_.with_owners &&
      fchownat(parent, name.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("lchown", PathOf(name));
  if (utimensat(parent, name.c_str(), attributes.times, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("lutime", PathOf(name));
  return Success();
}

// The first name is looked up folder by folder, as it was made: a link that somebody has put into its place
// is not followed.
FileFailure Receiver::MakeHardLink(int parent, const std::string& name, const Entry& entry) {
  const auto known = links_.find(entry.link);
  if (known == links_.end()) return Broken();
  const std::string& path = known->second;
  UniqueFd folder(fcntl(levels_.front().fd.Get(), F_DUPFD_CLOEXEC, 0));
  size_t at = 1;
  for (size_t slash; folder && (slash = path.find('/', at)) != std::string::npos; at = slash + 1)
    folder = UniqueFd(openat(folder.Get(), path.substr(at, slash - at).c_str(), kFolderFlags));
  if (!folder) return Failed("link", PathOf(name));
  const std::string first = path.substr(at);
  const auto make = [&] { return linkat(folder.Get(), first.c_str(), parent, name.c_str(), 0); };
  return MakeOver(parent, name, make) == 0 ? Success() : Failed("link", PathOf(name));
}

FileFailure Receiver::MakeDevice(int parent, const std::string& name, const Entry& entry) {
  if (!options_.with_devices) {
    counts_.skipped += 1;
    return Success();
  }
  const Attributes attributes = AttributesOf(entry);
  const mode_t type = DTTOIF(static_cast<mode_t>(entry.kind));
  const auto make = [&] { return mknodat(parent, name.c_str(), type | 0600, entry.device); };
  if (MakeOver(parent, name, make) != 0) return Failed("mknod", PathOf(name));
  if (options_.with_owners &&
      fchownat(parent, name.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("lchown", PathOf(name));
  // Not by a descriptor: to open a device may be an effect of its own. A link that took its place would have
  // its target's mode changed, so the mode is only set where nothing else can be meant.
  const UniqueFd fd(openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const std::string self = "/proc/self/fd/" + std::to_string(fd.Get());
  if (!fd || chmod(self.c_str(), attributes.mode) != 0) return Failed("chmod", PathOf(name));
  if (utimensat(parent, name.c_str(), attributes.times, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("utime", PathOf(name));
  return Success();
}

FileFailure Receiver::TakeContent(const uint8_t* body, size_t size) {
  uint64_t offset = 0;
  if (!file_.fd || size <= sizeof(offset) || size > sizeof(offset) + kMaxContent) return Broken();
  std::memcpy(&offset, body, sizeof(offset));
  body += sizeof(offset);
  size -= sizeof(offset);
  if (offset < file_.at || offset > file_.size || size > file_.size - offset) return Broken();
  counts_.bytes += size;
  if (counts_.bytes > options_.max_bytes) return {EOVERFLOW, "bytes", {}};
  while (size > 0) {
    const ssize_t wrote = pwrite(file_.fd.Get(), body, size, static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return Failed("write", PathOf(file_.name));
    body += wrote;
    size -= static_cast<size_t>(wrote);
    offset += static_cast<uint64_t>(wrote);
  }
  file_.at = offset;
  return Success();
}

FileFailure Receiver::FinishFile() {
  const int fd = file_.fd.Get();
  // The end may be a hole.
  if (file_.at < file_.size && ftruncate(fd, static_cast<off_t>(file_.size)) != 0)
    return Failed("ftruncate", PathOf(file_.name));
  if (const FileFailure failure = Apply(fd, file_.attributes, file_.name)) return failure;
  return close(file_.fd.Release()) == 0 ? Success() : Failed("close", PathOf(file_.name));
}

FileFailure Receiver::TakeUp() {
  const Level level = std::move(levels_.back());
  levels_.pop_back();
  const FileFailure failure = Apply(level.fd.Get(), level.attributes, {});
  path_.resize(level.path_size);
  return failure;
}

FileFailure Receiver::Apply(int fd, const Attributes& attributes, const std::string& name) const {
  if (options_.with_owners && fchown(fd, attributes.uid, attributes.gid) != 0)
    return Failed("fchown", PathOf(name));
  if (fchmod(fd, attributes.mode) != 0) return Failed("fchmod", PathOf(name));
  return futimens(fd, attributes.times) == 0 ? Success() : Failed("futime", PathOf(name));
}

}  // namespace microvm::tree
