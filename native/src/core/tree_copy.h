#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/data_copy.h"
#include "core/result.h"

namespace microvm::core {

struct TreeCopyRequest {
  std::string from;
  std::string to;
  bool durable = false;
  bool punch_zeros = false;
};

struct CopiedTree {
  struct File {
    std::string name;  // relative to the folder
    CopyOutcome outcome;
  };
  std::vector<File> files;
  uint64_t folders = 0;
};

// Copies a folder of regular files and folders, whole or not at all; nothing may be at `to` (EEXIST), and
// anything else in it is EINVAL, a link ELOOP. Can take long: a thread of its own. A cancelled copy fails
// with ECANCELED.
Result<CopiedTree> CopyTree(const TreeCopyRequest& request, const Cancellation& cancellation,
                            const CopyProgress& on_progress);

}  // namespace microvm::core
