#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace microvm::core {

// What a file has after its beginning was given back.
struct DiscardOutcome {
  uint64_t size = 0;
  // The first byte that is still there; what is before it reads as zeros.
  uint64_t start = 0;
};

// Gives the blocks before the last `keep` bytes back to the file system; size and offsets stay. For a log
// that another process appends to and that cannot be cut. Any thread.
Result<DiscardOutcome> DiscardFront(const std::string& path, uint64_t keep);

}  // namespace microvm::core
