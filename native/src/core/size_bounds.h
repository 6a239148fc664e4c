#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "core/result.h"

namespace microvm::core {

// The sizes that a caller accepts of a file which somebody else may write to. Both bounds are included.
struct SizeBounds {
  uint64_t at_least = 0;
  uint64_t at_most = INT64_MAX;

  // EFBIG: the file is larger; EIO: it is smaller.
  Status Check(uint64_t size, const std::string& path) const;
  Status Check(const struct stat& status, const std::string& path) const {
    return Check(static_cast<uint64_t>(status.st_size), path);
  }
};

}  // namespace microvm::core
