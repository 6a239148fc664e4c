#pragma once

#include <sys/types.h>

#include <optional>
#include <utility>

#include "core/result.h"

namespace microvm::core {

// The number of a descriptor that was given to somebody who may or may not have come to own it. Remembers
// what the number named, so that it can be closed later without harm to whoever has got the same number
// since. A plain value, which owns nothing.
class LentFd {
 public:
  explicit LentFd(int fd) : fd_(fd), file_(FileOf(fd)) {}

  // For a new descriptor of which there is no copy: while the number names the same file, nobody has closed
  // it.
  void CloseIfSame() const;

 private:
  using File = std::optional<std::pair<dev_t, ino_t>>;
  static File FileOf(int fd);

  int fd_;
  File file_;
};

// Closes a descriptor that is the caller's. EBADF: nothing has the number. Whatever else the kernel says of
// it, the number is free afterwards.
Status CloseOwned(int fd);

}  // namespace microvm::core
