#include "core/cgroup/cgroup_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <sstream>

#include "core/file_io.h"

namespace microvm::core {
namespace {

// More than cgroup.procs with every pid there can be (four million) takes.
constexpr size_t kMaxFileBytes = 48u << 20;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

Result<CgroupDirectory> CgroupDirectory::Open(const std::string& path) {
  auto fd = OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd.Ok()) return fd.Error();
  struct statfs status {};
  if (fstatfs(fd.Value().Get(), &status) != 0) return SysError::Last("fstatfs", path);
  if (status.f_type != CGROUP2_SUPER_MAGIC) {
    return SysError{EINVAL, "fstatfs", path, {}, "not a directory of cgroup v2"};
  }
  return CgroupDirectory(path, std::move(fd.Value()));
}

Result<UniqueFd> CgroupDirectory::OpenControl(const std::string& name, int flags) const {
  UniqueFd fd(openat(fd_.Get(), name.c_str(), flags | O_CLOEXEC));
  if (!fd) return SysError::Last("open", path_ + "/" + name);
  return fd;
}

Result<std::string> CgroupDirectory::Read(const std::string& name) const {
  auto fd = OpenControl(name, O_RDONLY);
  if (!fd.Ok()) return fd.Error();
  return ReadSmallFile(fd.Value().Get(), path_ + "/" + name, kMaxFileBytes);
}

Status CgroupDirectory::Write(const std::string& name, const std::string& text) const {
  auto fd = OpenControl(name, O_WRONLY);
  if (!fd.Ok()) return fd.Error();
  return WriteAll(fd.Value().Get(), text, path_ + "/" + name);
}

Result<std::vector<pid_t>> CgroupDirectory::Processes() const {
  std::vector<pid_t> pids;
  auto text = Read("cgroup.procs");
  if (!text.Ok()) return text.Error().number == EOPNOTSUPP ? Result(pids) : text.Error();
  std::istringstream lines(text.Value());
  for (pid_t pid = 0; lines >> pid;) pids.push_back(pid);
  return pids;
}

Result<std::vector<std::string>> CgroupDirectory::Children() const {
  std::vector<std::string> children;
  auto copy = OpenControl(".", O_RDONLY | O_DIRECTORY);
  if (!copy.Ok()) return IsGone(copy.Error()) ? Result(children) : copy.Error();
  const std::unique_ptr<DIR, DirectoryCloser> entries(fdopendir(copy.Value().Get()));
  if (!entries) return SysError::Last("fdopendir", path_);
  static_cast<void>(copy.Value().Release());
  while (const dirent* entry = readdir(entries.get())) {
    const bool is_dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (entry->d_type == DT_DIR && !is_dots) children.emplace_back(entry->d_name);
  }
  return children;
}

Result<bool> CgroupDirectory::IsMountRoot() const {
  struct stat here {};
  struct stat above {};
  if (fstat(fd_.Get(), &here) != 0) return SysError::Last("fstat", path_);
  if (fstatat(fd_.Get(), "..", &above, 0) != 0) return SysError::Last("fstat", path_);
  return here.st_dev != above.st_dev;
}

bool HasWord(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string next; words >> next;) {
    if (next == word) return true;
  }
  return false;
}

int64_t ValueOf(const std::string& lines, const std::string& key) {
  std::istringstream words(lines);
  std::string name;
  for (int64_t value = 0; words >> name >> value;) {
    if (name == key) return value;
  }
  return -1;
}

}  // namespace microvm::core
