#include "core/file_owner.h"

#include <sys/stat.h>
#include <unistd.h>

namespace microvm::core {

Status SetOwnerAndMode(int fd, uid_t uid, gid_t gid, unsigned mode, const std::string& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return SysError::Last("fstat", path);
  const bool changes_owner = status.st_uid != uid || status.st_gid != gid;
  if (changes_owner && fchown(fd, uid, gid) != 0) return SysError::Last("fchown", path);
  // The mode comes second: a change of the owner takes the set-user-ID and set-group-ID bits away.
  const bool changes_mode = (status.st_mode & 07777) != mode || (changes_owner && (mode & 07000) != 0);
  if (changes_mode && fchmod(fd, mode) != 0) return SysError::Last("fchmod", path);
  return {};
}

}  // namespace microvm::core
