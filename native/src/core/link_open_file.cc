#include "core/link_open_file.h"

#include <fcntl.h>
#include <unistd.h>

namespace microvm::core {

Status LinkOpenFile(int file, int folder, const std::string& name) {
  // Needs CAP_DAC_READ_SEARCH, or from Linux 6.10 to be who opened it. ENOENT: has neither, or the file is
  // gone.
  if (linkat(file, "", folder, name.c_str(), AT_EMPTY_PATH) == 0) return {};
  if (errno != ENOENT) return SysError::Last("link", name);
  // The same for everybody, by a walk through /proc, which costs half as much again.
  const std::string self = "/proc/self/fd/" + std::to_string(file);
  if (linkat(AT_FDCWD, self.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  return SysError::Last("link", name);
}

}  // namespace microvm::core
