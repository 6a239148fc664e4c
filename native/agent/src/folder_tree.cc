#include "folder_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <functional>
#include <memory>
#include <string>

#include "unique_fd.h"

namespace microvm::agent {
namespace {

// An image with a tree deeper than that has no good reason for it.
constexpr int kMostDepth = 32;
constexpr off_t kMostFile = 64 * 1024;
constexpr int kMostEntries = 4096;

void EachEntry(int folder_fd, const std::function<void(const char*, const struct stat&)>& use) {
  const int own = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(own), closedir);
  if (!folder) return;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    struct stat facts {};
    if (name == "." || name == ".." || fstatat(own, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    use(name.c_str(), facts);
  }
}

UniqueFd OpenFolder(int at, const char* name) {
  return UniqueFd(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

void Empty(int folder_fd, dev_t device) {
  EachEntry(folder_fd, [&](const char* name, const struct stat& facts) {
    if (facts.st_dev != device) return;
    if (!S_ISDIR(facts.st_mode)) {
      unlinkat(folder_fd, name, 0);
      return;
    }
    if (const UniqueFd below = OpenFolder(folder_fd, name)) Empty(below.Get(), device);
    unlinkat(folder_fd, name, AT_REMOVEDIR);
  });
}

bool CopyFile(int from, int to, const char* name) {
  const UniqueFd source(openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  const UniqueFd target(openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  std::string text(kMostFile, '\0');
  const ssize_t size = source && target ? read(source.Get(), text.data(), text.size()) : -1;
  return size >= 0 && write(target.Get(), text.data(), static_cast<size_t>(size)) == size;
}

bool CopyLink(int from, int to, const char* name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = readlinkat(from, name, target.data(), target.size() - 1);
  return size > 0 && symlinkat(target.substr(0, static_cast<size_t>(size)).c_str(), to, name) == 0;
}

void CopyTree(int from, int to, int depth, int* left) {
  EachEntry(from, [&](const char* name, const struct stat& facts) {
    if (--*left < 0) return;
    const bool is_folder = S_ISDIR(facts.st_mode) && depth > 0;
    const bool is_made = is_folder                                              ? mkdirat(to, name, 0700) == 0
                         : S_ISLNK(facts.st_mode)                               ? CopyLink(from, to, name)
                         : S_ISREG(facts.st_mode) && facts.st_size <= kMostFile ? CopyFile(from, to, name)
                                                                                : false;
    if (!is_made) return;
    if (is_folder) {
      const UniqueFd source = OpenFolder(from, name);
      const UniqueFd target = OpenFolder(to, name);
      if (source && target) CopyTree(source.Get(), target.Get(), depth - 1, left);
    }
    [[maybe_unused]] const int owned = fchownat(to, name, facts.st_uid, facts.st_gid, AT_SYMLINK_NOFOLLOW);
    // Behind the change of the owner, which takes setuid away.
    if (!S_ISLNK(facts.st_mode)) fchmodat(to, name, facts.st_mode & 07777, 0);
  });
}

}  // namespace

void EmptyFolder(int folder_fd) {
  struct stat facts {};
  if (fstat(folder_fd, &facts) == 0) Empty(folder_fd, facts.st_dev);
}

void CopySmallTree(int from_fd, int to_fd) {
  int left = kMostEntries;
  CopyTree(from_fd, to_fd, kMostDepth, &left);
}

}  // namespace microvm::agent
