#include "core/rename_new.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

namespace microvm::core {

Status RenameNew(int from_folder, const std::string& from, int to_folder, const std::string& to) {
  if (renameat2(from_folder, from.c_str(), to_folder, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL) return SysError::Last("rename", to);
  struct stat status {};
  if (fstatat(to_folder, to.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return SysError{EEXIST, "rename", to};
  }
  if (renameat(from_folder, from.c_str(), to_folder, to.c_str()) == 0) return {};
  return SysError::Last("rename", to);
}

}  // namespace microvm::core
