#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/cancellation.h"
#include "core/result.h"

namespace microvm::core {

enum class CopyMethod { kReflink, kCopyFileRange, kCopy };

// An open regular file and an empty one; the paths are for errors.
struct DataCopyRequest {
  int from = -1;
  int to = -1;
  uint64_t size_bytes = 0;
  std::string from_path;
  std::string to_path;
  bool punch_zeros = false;
};

struct CopyOutcome {
  CopyMethod method = CopyMethod::kReflink;
  uint64_t size_bytes = 0;
  uint64_t data_bytes = 0;
};

// Called on a copying thread: bytes done, bytes in all.
using CopyProgress = std::function<void(uint64_t, uint64_t)>;

// Copies what is in a file: by reflink, else what the kernel can, else through memory; holes are kept. Can
// take long: a thread of its own. A cancelled copy fails with ECANCELED.
Result<CopyOutcome> CopyData(const DataCopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress);

}  // namespace microvm::core
