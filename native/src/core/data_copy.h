#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/cancellation.h"
#include "core/file_io.h"
#include "core/result.h"

namespace microvm::core {

enum class CopyMethod { kReflink, kCopyFileRange, kCopy };

struct DataCopyRequest {
  const RegularFile* from = nullptr;
  int to = -1;  // a regular file, empty
  // For errors.
  std::string from_path;
  std::string to_path;
  // Blocks of zeros are not written.
  bool punch_zeros = false;
  // What is accepted of the source.
  SizeBounds size;
};

struct CopyOutcome {
  CopyMethod method = CopyMethod::kReflink;
  uint64_t size_bytes = 0;
  uint64_t data_bytes = 0;  // written
};

// Called on a copying thread, by one at a time: bytes done, bytes in all.
using CopyProgress = std::function<void(uint64_t, uint64_t)>;

// Copies what is in a file: by reflink, else by copy_file_range, else through memory with a few threads when
// there is much; holes are kept. A source that gets shorter or loses its last name meanwhile is an error. Can
// take long: a thread of its own. A cancelled copy fails with ECANCELED.
Result<CopyOutcome> CopyData(const DataCopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress);

}  // namespace microvm::core
