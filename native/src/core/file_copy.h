#pragma once

#include <string>

#include "core/cancellation.h"
#include "core/data_copy.h"
#include "core/result.h"

namespace microvm::core {

struct CopyRequest {
  std::string from;
  std::string to;
  bool durable = false;
  bool punch_zeros = false;
  // What is accepted of the source.
  SizeBounds size = {};
};

// Copies a regular file, whole or not at all. Can take long: a thread of its own. A cancelled copy fails with
// ECANCELED.
Result<CopyOutcome> CopyFile(const CopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress);

}  // namespace microvm::core
