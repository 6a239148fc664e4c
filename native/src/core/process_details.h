#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <functional>
#include <optional>

#include "core/process_search.h"

namespace microvm::core {

// A query with its folders looked up.
struct ProcessFilter {
  const ProcessQuery& query;
  std::optional<struct stat> root;
  std::optional<struct stat> cwd;
};

// Told what is known of the process so far, before the reads that may not come back.
using DetailsKnown = std::function<void(const UnansweredProcess&)>;

// Reads what there is to know of one process; empty when it is not one of those looked for, or is gone. May
// never come back.
std::optional<FoundProcess> ReadProcess(pid_t pid, const ProcessFilter& filter, const DetailsKnown& on_known);

}  // namespace microvm::core
