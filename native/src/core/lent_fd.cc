#include "core/lent_fd.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/handles.h"

namespace microvm::core {

LentFd::File LentFd::FileOf(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return std::nullopt;
  return std::make_pair(status.st_dev, status.st_ino);
}

void LentFd::CloseIfSame() const {
  if (file_ && FileOf(fd_) == file_) UniqueFd(fd_).Reset();
}

Status CloseOwned(int fd) {
  if (fcntl(fd, F_GETFD) < 0) return SysError::Last("close");
  UniqueFd(fd).Reset();
  return {};
}

}  // namespace microvm::core
