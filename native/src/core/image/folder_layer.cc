#include "core/image/folder_layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "core/file_io.h"

namespace microvm::core::image {
namespace {

constexpr size_t kCopyBytes = 256 << 10;
constexpr uint32_t kModeBits = 07777;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

class FolderReader {
 public:
  FolderReader(std::string root, const LayerWork& work, LayerContents* contents)
      : root_(std::move(root)), work_(work), contents_(contents), buffer_(kCopyBytes) {}

  ImageStatus Run();

 private:
  ImageStatus ReadFolder(int folder, const std::string& path, size_t depth);
  ImageStatus ReadName(int folder, const std::string& name, const std::string& path, size_t depth);
  ImageStatus Fill(int folder, const std::string& name, const struct stat& status, Entry* entry);
  ImageStatus CopyFile(int folder, const std::string& name, const struct stat& status, Entry* entry);
  ImageStatus FindData(int fd, Entry* entry);
  ImageStatus CopyExtent(int fd, const Extent& extent, const std::string& path);
  ImageStatus ReadXattrs(const std::string& place, Entry* entry);
  ImageStatus Keep(Entry entry);
  std::string PathOf(const std::string& path) const { return path.empty() ? root_ : root_ + "/" + path; }

  const std::string root_;
  const LayerWork& work_;
  LayerContents* contents_;
  std::vector<char> buffer_;
  dev_t device_ = 0;
  // The first name of each file that has several.
  std::map<std::pair<dev_t, ino_t>, std::string> names_;
};

ImageStatus FolderReader::Run() {
  auto root = OpenDirectory(root_);
  if (!root.Ok()) return root.Error();
  struct stat status {};
  if (fstat(root.Value().Get(), &status) != 0) return SysError::Last("fstat", root_);
  device_ = status.st_dev;
  Entry entry;
  entry.path = ".";
  auto filled = Fill(root.Value().Get(), ".", status, &entry);
  if (filled.Ok()) filled = Keep(std::move(entry));
  return filled.Ok() ? ReadFolder(root.Value().Get(), "", 0) : filled;
}

ImageStatus FolderReader::ReadFolder(int folder, const std::string& path, size_t depth) {
  if (depth > work_.budget->Limits().depth) {
    return std::move(ImageStatus::Invalid("it has too many folders above it")).WithEntry(path);
  }
  // A descriptor of its own: closedir closes it.
  UniqueFd listed(RetryOnSignal([&] { return openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!listed) return SysError::Last("open", PathOf(path));
  const std::unique_ptr<DIR, DirectoryCloser> directory(fdopendir(listed.Get()));
  if (!directory) return SysError::Last("fdopendir", PathOf(path));
  static_cast<void>(listed.Release());
  std::vector<std::string> names;
  for (errno = 0; const dirent* found = readdir(directory.get()); errno = 0) {
    const std::string name = found->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return SysError::Last("readdir", PathOf(path));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    auto halted = work_.halt->Check();
    if (!halted.Ok()) return halted;
    auto read = ReadName(folder, name, path.empty() ? name : path + "/" + name, depth);
    if (!read.Ok()) return read;
  }
  return {};
}

ImageStatus FolderReader::ReadName(int folder, const std::string& name, const std::string& path,
                                   size_t depth) {
  struct stat status {};
  if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return SysError::Last("fstatat", PathOf(path));
  }
  if (S_ISSOCK(status.st_mode)) return {};
  Entry entry;
  entry.path = path;
  if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
    const auto [known, is_new] = names_.try_emplace({status.st_dev, status.st_ino}, path);
    if (!is_new) {
      entry.type = EntryType::kHardLink;
      entry.link = known->second;
      return Keep(std::move(entry));
    }
  }
  auto filled = Fill(folder, name, status, &entry);
  if (!filled.Ok()) return std::move(filled).WithEntry(path);
  auto kept = Keep(std::move(entry));
  if (!kept.Ok() || !S_ISDIR(status.st_mode) || status.st_dev != device_) return kept;
  const UniqueFd inner(RetryOnSignal(
      [&] { return openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
  if (!inner) return SysError::Last("open", PathOf(path));
  return ReadFolder(inner.Get(), path, depth + 1);
}

ImageStatus FolderReader::Fill(int folder, const std::string& name, const struct stat& status, Entry* entry) {
  entry->mode = status.st_mode & kModeBits;
  entry->uid = status.st_uid;
  entry->gid = status.st_gid;
  entry->mtime = status.st_mtim.tv_sec;
  auto read = ReadXattrs("/proc/self/fd/" + std::to_string(folder) + "/" + name, entry);
  if (!read.Ok()) return read;
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      return CopyFile(folder, name, status, entry);
    case S_IFDIR:
      entry->type = EntryType::kFolder;
      return {};
    case S_IFLNK: {
      entry->type = EntryType::kSymlink;
      const ssize_t size = readlinkat(folder, name.c_str(), buffer_.data(), buffer_.size());
      if (size < 0) return SysError::Last("readlinkat", PathOf(entry->path));
      entry->link.assign(buffer_.data(), static_cast<size_t>(size));
      return {};
    }
    case S_IFCHR:
    case S_IFBLK:
      entry->type = S_ISCHR(status.st_mode) ? EntryType::kCharDevice : EntryType::kBlockDevice;
      entry->major = major(status.st_rdev);
      entry->minor = minor(status.st_rdev);
      return {};
    default:
      entry->type = EntryType::kFifo;
      return {};
  }
}

ImageStatus FolderReader::CopyFile(int folder, const std::string& name, const struct stat& status,
                                   Entry* entry) {
  const ImageLimits& limits = work_.budget->Limits();
  entry->type = EntryType::kFile;
  entry->size = static_cast<uint64_t>(status.st_size);
  entry->stage_offset = contents_->stage->Size();
  if (entry->size > limits.file_bytes) {
    return ImageStatus::Invalid("it has more than " + std::to_string(limits.file_bytes) + " bytes");
  }
  if (entry->size == 0) return {};
  const std::string path = PathOf(entry->path);
  const UniqueFd file(RetryOnSignal(
      [&] { return openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); }));
  if (!file) return SysError::Last("open", path);
  struct stat opened {};
  if (fstat(file.Get(), &opened) != 0) return SysError::Last("fstat", path);
  const bool is_same =
      opened.st_dev == status.st_dev && opened.st_ino == status.st_ino && opened.st_size == status.st_size;
  if (!is_same) return SysError{EIO, "open", path};
  auto copied = FindData(file.Get(), entry);
  for (size_t i = 0; i < entry->extents.size() && copied.Ok(); ++i) {
    copied = CopyExtent(file.Get(), entry->extents[i], path);
  }
  return copied;
}

ImageStatus FolderReader::FindData(int fd, Entry* entry) {
  const auto size = static_cast<off_t>(entry->size);
  for (off_t offset = 0; offset < size;) {
    const off_t begin = lseek(fd, offset, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;
    // No holes are known on this file system.
    const bool is_plain = begin < 0 && errno == EINVAL;
    if (begin < 0 && !is_plain) return SysError::Last("lseek", PathOf(entry->path));
    const off_t hole = is_plain ? size : lseek(fd, begin, SEEK_HOLE);
    if (hole < 0) return SysError::Last("lseek", PathOf(entry->path));
    const off_t first = is_plain ? offset : begin;
    const off_t end = std::min(hole, size);
    if (end <= first) break;
    entry->extents.push_back({static_cast<uint64_t>(first), static_cast<uint64_t>(end - first)});
    if (entry->extents.size() > work_.budget->Limits().entries) {
      return ImageStatus::Invalid("it has too many pieces of data");
    }
    offset = end;
  }
  return {};
}

ImageStatus FolderReader::CopyExtent(int fd, const Extent& extent, const std::string& path) {
  for (uint64_t done = 0; done < extent.length;) {
    auto halted = work_.halt->Check();
    if (!halted.Ok()) return halted;
    const auto want = static_cast<size_t>(std::min<uint64_t>(buffer_.size(), extent.length - done));
    const auto offset = static_cast<off_t>(extent.offset + done);
    const ssize_t got = RetryOnSignal([&] { return pread(fd, buffer_.data(), want, offset); });
    if (got < 0) return SysError::Last("read", path);
    if (got == 0) return SysError{EIO, "read", path};
    auto written = contents_->stage->Append(buffer_.data(), static_cast<size_t>(got));
    if (!written.Ok()) return written;
    done += static_cast<uint64_t>(got);
  }
  return {};
}

ImageStatus FolderReader::ReadXattrs(const std::string& place, Entry* entry) {
  const ImageLimits& limits = work_.budget->Limits();
  std::string names(64 << 10, '\0');  // XATTR_LIST_MAX
  const ssize_t listed = llistxattr(place.c_str(), names.data(), names.size());
  if (listed < 0 && errno == ENOTSUP) return {};
  if (listed < 0) return SysError::Last("llistxattr", PathOf(entry->path));
  names.resize(static_cast<size_t>(listed));
  uint64_t total = 0;
  for (size_t begin = 0; begin < names.size(); begin = names.find('\0', begin) + 1) {
    const std::string name = names.c_str() + begin;
    std::string value(64 << 10, '\0');  // XATTR_SIZE_MAX
    const ssize_t size = lgetxattr(place.c_str(), name.c_str(), value.data(), value.size());
    // Gone since, or shown to root alone.
    if (size < 0 && (errno == ENODATA || errno == EPERM)) continue;
    if (size < 0) return SysError::Last("lgetxattr", PathOf(entry->path));
    value.resize(static_cast<size_t>(size));
    total += name.size() + value.size();
    if (value.size() > limits.xattr_bytes || total > limits.inode_xattr_bytes) {
      return ImageStatus::Invalid("its extended attributes are too large");
    }
    entry->xattrs.emplace(name, std::move(value));
  }
  return {};
}

ImageStatus FolderReader::Keep(Entry entry) {
  auto counted = CountEntry(entry, work_.budget);
  if (!counted.Ok()) return std::move(counted).WithEntry(entry.path);
  contents_->entries.push_back(std::move(entry));
  return {};
}

}  // namespace

ImageStatus ReadFolder(const std::string& path, const LayerWork& work, LayerContents* contents) {
  contents->has_whiteouts = false;
  auto read = FolderReader(path, work, contents).Run();
  if (read.Ok() && work.on_progress) work.on_progress(contents->stage->Size(), contents->stage->Size());
  return read;
}

}  // namespace microvm::core::image
