#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "core/handles.h"
#include "core/result.h"
#include "core/size_bounds.h"

namespace microvm::core {

// A path cut at its last slash: `directory` is never empty.
struct SplitPath {
  std::string directory;
  std::string name;
};
SplitPath Split(const std::string& path);

// Open with O_CLOEXEC; the error names the path.
Result<UniqueFd> OpenFile(const std::string& path, int flags, unsigned mode = 0);
Result<UniqueFd> OpenDirectory(const std::string& path);

// A regular file opened for reading.
struct RegularFile {
  UniqueFd fd;
  struct stat status {};
};
// A folder is EISDIR, anything else EINVAL, without waiting for a FIFO's writer. A size that is not accepted
// is EFBIG or EIO. `flags` come on top, such as O_NOFOLLOW.
Result<RegularFile> OpenRegularFile(const std::string& path, const SizeBounds& size = {}, int flags = 0);

// Reads a small file (proc, sysfs, a lock file) up to `limit` bytes.
Result<std::string> ReadSmallFile(const std::string& path, size_t limit);
// The same from the start of an open one. `path` is only for the error.
Result<std::string> ReadSmallFile(int fd, const std::string& path, size_t limit);

// Writes all, through signals and short writes. `path` is only for the error.
Status WriteAll(int fd, std::string_view data, const std::string& path);

// 16 hex digits nobody can foresee, for temporary names.
std::string RandomHex16();

}  // namespace microvm::core
