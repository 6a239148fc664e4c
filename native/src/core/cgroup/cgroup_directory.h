#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// An open directory of a cgroup v2 hierarchy and its control files. Any thread, one at a time.
class CgroupDirectory {
 public:
  // EINVAL when the directory is of another file system, cgroup v1 included; a link is ENOTDIR.
  static Result<CgroupDirectory> Open(const std::string& path);

  const std::string& Path() const { return path_; }

  // The name of a control file, such as memory.max; errors have its path.
  Result<UniqueFd> OpenControl(const std::string& name, int flags) const;
  Result<std::string> Read(const std::string& name) const;
  Status Write(const std::string& name, const std::string& text) const;

  // What cgroup.procs lists: none in a threaded cgroup, whose processes those above it list.
  Result<std::vector<pid_t>> Processes() const;
  // The names of the cgroups right below.
  Result<std::vector<std::string>> Children() const;
  Result<bool> IsMountRoot() const;

 private:
  CgroupDirectory(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
};

// The errors of a cgroup that was removed: by name, and through a descriptor of before.
inline bool IsGone(const SysError& error) { return error.number == ENOENT || error.number == ENODEV; }

// Whether a list such as "cpu memory pids" has the word.
bool HasWord(const std::string& list, const std::string& word);

// The number after a key in lines such as "populated 0"; -1 when there is none.
int64_t ValueOf(const std::string& lines, const std::string& key);

}  // namespace microvm::core
