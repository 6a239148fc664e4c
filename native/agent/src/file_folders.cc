#include "file_folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "unique_fd.h"

namespace microvm::agent {
namespace {

// ENTRIES are sent when they are about this long.
constexpr size_t kBatch = 32 * 1024;

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

Folder OpenFolder(UniqueFd fd) {
  Folder folder(fd ? fdopendir(fd.Get()) : nullptr);
  if (folder) fd.Release();
  return folder;
}

// The next entry but `.` and `..`; null at the end, with errno 0, and on a failure.
const dirent* Next(DIR* folder) {
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(folder);
    if (entry == nullptr) return nullptr;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry;
  }
}

uint8_t TypeOf(DIR* folder, const dirent& entry) {
  struct stat found {};
  if (entry.d_type != DT_UNKNOWN || fstatat(dirfd(folder), entry.d_name, &found, AT_SYMLINK_NOFOLLOW) != 0)
    return entry.d_type;
  return IFTODT(found.st_mode);
}

// Gathers entries and sends them by many.
class EntryBatch {
 public:
  explicit EntryBatch(FileChannel* channel) : channel_(channel) {}

  void Add(uint8_t type, const std::string& name) {
    out_.U8(type).Text(name, kMaxFilePath);
    if (out_.bytes().size() >= kBatch) Flush();
  }
  void Flush() {
    if (!out_.bytes().empty()) channel_->Send(FileAnswer::kEntries, out_.bytes());
    out_ = {};
  }

 private:
  FileChannel* channel_;
  PayloadWriter out_;
};

}  // namespace

FileFailure ListFolder(const std::string& path, bool is_recursive, FileChannel* channel) {
  EntryBatch batch(channel);
  // From the folder, with a slash behind; breadth first, as Node does it.
  std::deque<std::string> folders{""};
  while (!folders.empty()) {
    const std::string below = std::move(folders.front());
    folders.pop_front();
    const std::string full = below.empty() ? path : path + "/" + below;
    const Folder folder = OpenFolder(UniqueFd(open(full.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    if (!folder) return Failed("scandir", below.empty() ? std::string() : full);
    while (const dirent* entry = Next(folder.get())) {
      const uint8_t type = TypeOf(folder.get(), *entry);
      const std::string name = below + entry->d_name;
      if (name.size() > kMaxFilePath) return {ENAMETOOLONG, "scandir", full};
      batch.Add(type, name);
      if (is_recursive && type == DT_DIR) folders.push_back(name + "/");
    }
    if (errno != 0) return Failed("scandir", below.empty() ? std::string() : full);
  }
  batch.Flush();
  return Success();
}

namespace {

// A folder that is being emptied, and its name in the one before it.
struct Level {
  Folder folder;
  std::string name;
};

std::string PathOf(const std::string& root, const std::vector<Level>& levels, std::string_view name) {
  std::string path = root;
  for (size_t i = 1; i < levels.size(); i++) path += "/" + levels[i].name;
  if (!name.empty()) path.append("/").append(name);
  // What is longer cannot be said: the folder in which it happened.
  return path.size() > kMaxFilePath ? root : path;
}

// Removes a name, or opens it when it is a folder. A failure of ENOENT is none: somebody else removed it.
FileFailure RemoveEntry(const std::string& root, std::vector<Level>* levels, const std::string& name) {
  const int parent = dirfd(levels->back().folder.get());
  if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return Success();
  const int error = errno;
  if (error != EISDIR && error != EPERM) return Failed("unlink", PathOf(root, *levels, name));
  UniqueFd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == ENOTDIR) errno = error;
  Folder folder = OpenFolder(std::move(fd));
  if (!folder) return Failed("unlink", PathOf(root, *levels, name));
  levels->push_back({std::move(folder), name});
  return Success();
}

FileFailure EmptyFolder(const std::string& root, Folder top) {
  std::vector<Level> levels;
  levels.push_back({std::move(top), {}});
  for (;;) {
    if (const dirent* entry = Next(levels.back().folder.get())) {
      const FileFailure failure = RemoveEntry(root, &levels, entry->d_name);
      if (failure) return failure;
      continue;
    }
    if (errno != 0) return Failed("scandir", PathOf(root, levels, {}));
    if (levels.size() == 1) return Success();
    const std::string name = levels.back().name;
    levels.pop_back();
    const int parent = dirfd(levels.back().folder.get());
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      return Failed("rmdir", PathOf(root, levels, name));
    // A listing that lost entries while it was read may not show the others.
    rewinddir(levels.back().folder.get());
  }
}

}  // namespace

FileFailure RemovePath(const std::string& path, bool is_recursive, bool is_forced) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return errno == ENOENT && is_forced ? Success() : Failed("lstat");
  if (!S_ISDIR(found.st_mode))
    return unlink(path.c_str()) == 0 || errno == ENOENT ? Success() : Failed("unlink");
  if (!is_recursive) return {EISDIR, "rm", {}};
  Folder folder = OpenFolder(UniqueFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)));
  // One that cannot be read can be removed when it is empty.
  if (folder) {
    const FileFailure failure = EmptyFolder(path, std::move(folder));
    if (failure) return failure;
  }
  return rmdir(path.c_str()) == 0 || errno == ENOENT ? Success() : Failed("rmdir");
}

}  // namespace microvm::agent
