#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/cancellation.h"
#include "core/result.h"

namespace microvm::core {

struct CopyRequest {
  std::string from;
  std::string to;
  bool durable = false;
  bool punch_zeros = false;
};

struct CopyOutcome {
  bool is_reflink = false;
  uint64_t size_bytes = 0;
  uint64_t data_bytes = 0;
};

// Called on the copying thread: bytes done, bytes in all.
using CopyProgress = std::function<void(uint64_t, uint64_t)>;

// Copies a regular file, whole or not at all. Can take long: a thread of its own. A cancelled copy fails with
// ECANCELED.
Result<CopyOutcome> CopyFile(const CopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress);

}  // namespace microvm::core
