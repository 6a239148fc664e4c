#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace microvm::core {

struct RemovedTree {
  uint64_t files = 0;
  uint64_t directories = 0;
  // The first thing that could not be removed; the rest was removed all the same.
  Status failed;
};

// Removes a directory and all below it. Follows no link below the directory's parent and crosses no mount
// (also not a bind mount of the same file system): what is mounted stays, and is the failure. A directory
// that does not exist is no failure.
RemovedTree RemoveTree(const std::string& path);

}  // namespace microvm::core
