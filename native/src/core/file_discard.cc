#include "core/file_discard.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/file_io.h"

namespace microvm::core {

Result<DiscardOutcome> DiscardFront(const std::string& path, uint64_t keep) {
  // A link that the VMM's user may have put there is not followed.
  auto fd = OpenFile(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  if (!fd.Ok()) return fd.Error();
  struct stat status {};
  if (fstat(fd.Value().Get(), &status) != 0) return SysError::Last("fstat", path);
  if (!S_ISREG(status.st_mode)) return SysError{EINVAL, "open", path};
  const auto size = static_cast<uint64_t>(status.st_size);
  const auto block = static_cast<uint64_t>(status.st_blksize);
  // A part of a block would be written with zeros instead.
  const uint64_t start = size > keep ? (size - keep) / block * block : 0;
  if (start > 0) {
    const int punched = RetryOnSignal([&] {
      return fallocate(fd.Value().Get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                       static_cast<off_t>(start));
    });
    if (punched != 0) return SysError::Last("fallocate", path);
  }
  return DiscardOutcome{size, start};
}

}  // namespace microvm::core
