#include "core/root_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/file_io.h"
#include "core/openat2.h"

namespace microvm::core {
namespace {

constexpr size_t kMaxComponent = 255;  // NAME_MAX
constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// Before Linux 5.6, component by component: no name leads upward and no link is followed, so all stays
// beneath.
UniqueFd Walk(int directory, const std::string& name, int flags, unsigned mode) {
  UniqueFd at(fcntl(directory, F_DUPFD_CLOEXEC, 0));
  size_t begin = 0;
  for (size_t slash = name.find('/'); at && slash != std::string::npos; slash = name.find('/', begin)) {
    const std::string component = name.substr(begin, slash - begin);
    at.Reset(openat(at.Get(), component.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    begin = slash + 1;
  }
  if (!at) return at;
  const std::string last = name.substr(begin);
  return UniqueFd(
      RetryOnSignal([&] { return openat(at.Get(), last.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode); }));
}

}  // namespace

bool IsBeneathName(const std::string& name) {
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string component = name.substr(begin, end - begin);
    if (component.empty() || component == "." || component == "..") return false;
    if (component.size() > kMaxComponent || component.find('\0') != std::string::npos) return false;
    begin = end + 1;
  }
  return true;
}

SplitName SplitBeneath(const std::string& name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos) return {"", name};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

Result<RootDirectory> RootDirectory::Open(const std::string& path) {
  auto fd = OpenFile(path, kFolderFlags);
  if (!fd.Ok()) return fd.Error();
  return RootDirectory(path, std::move(fd.Value()));
}

Result<UniqueFd> RootDirectory::Open(const std::string& name, int flags, unsigned mode) const {
  if (!IsBeneathName(name)) return SysError{EINVAL, "openat2", PathOf(name)};
  constexpr uint64_t kResolve = kResolveBeneath | kResolveNoSymlinks | kResolveNoMagicLinks;
  UniqueFd fd = OpenAt2(fd_.Get(), name.c_str(), flags | O_NOFOLLOW, mode, kResolve);
  if (!fd && errno == ENOSYS) fd = Walk(fd_.Get(), name, flags, mode);
  if (!fd) return SysError::Last("openat2", PathOf(name));
  return fd;
}

Result<UniqueFd> RootDirectory::OpenFolder(const std::string& name) const {
  if (!name.empty()) return Open(name, kFolderFlags);
  UniqueFd fd(fcntl(fd_.Get(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return SysError::Last("fcntl", path_);
  return fd;
}

Result<UniqueFd> RootDirectory::OpenFileOrSocket(const std::string& name, int flags, unsigned mode) const {
  // Whoever lives in the directory may make and remove the name all the time.
  constexpr int kAttempts = 16;
  for (int attempt = 1;; ++attempt) {
    auto existing = OpenExisting(name, flags);
    if (existing.Ok() || existing.Error().number != ENOENT || (flags & O_CREAT) == 0) return existing;
    auto created = Create(name, flags, mode);
    if (created.Ok() || created.Error().number != EEXIST || (flags & O_EXCL) != 0) return created;
    if (attempt == kAttempts) return created;
  }
}

Result<UniqueFd> RootDirectory::Create(const std::string& name, int flags, unsigned mode) const {
  return Open(name, flags | O_CREAT | O_EXCL, mode);
}

// First by a descriptor that touches nothing, then that very file again.
Result<UniqueFd> RootDirectory::OpenExisting(const std::string& name, int flags) const {
  auto found = Open(name, O_PATH);
  if (!found.Ok()) return found;
  if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return SysError{EEXIST, "openat2", PathOf(name)};
  struct stat status {};
  if (fstat(found.Value().Get(), &status) != 0) return SysError::Last("fstat", PathOf(name));
  if (S_ISSOCK(status.st_mode)) return found;
  if (S_ISLNK(status.st_mode)) return SysError{ELOOP, "openat2", PathOf(name)};
  if (S_ISDIR(status.st_mode)) return SysError{EISDIR, "openat2", PathOf(name)};
  if (!S_ISREG(status.st_mode)) return SysError{EINVAL, "openat2", PathOf(name)};
  const std::string self = "/proc/self/fd/" + std::to_string(found.Value().Get());
  auto opened = OpenFile(self, flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW));
  if (!opened.Ok()) return SysError{opened.Error().number, "open", PathOf(name)};
  return opened;
}

}  // namespace microvm::core
