#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/result.h"

namespace microvm::core {

struct RemovedTree {
  uint64_t files = 0;
  uint64_t directories = 0;
  // What could not be removed, and so is still there: the first few of `left_count`. All else is gone, save
  // the directories that hold it.
  std::vector<SysError> left;
  uint64_t left_count = 0;
  bool is_cancelled = false;

  bool IsComplete() const { return left_count == 0 && !is_cancelled; }
};

// Removes a directory and all below it. Follows no link below the directory's parent and crosses no mount
// (also not a bind mount of the same file system): what is mounted stays. A directory that does not exist is
// no failure. Can take long; one that is cancelled leaves the rest.
RemovedTree RemoveTree(const std::string& path, const Cancellation& cancellation);
RemovedTree RemoveTree(const std::string& path);

}  // namespace microvm::core
