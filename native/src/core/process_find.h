#pragma once

#include <string>
#include <vector>

#include "core/process_identity.h"
#include "core/result.h"

namespace microvm::core {

struct FoundProcess {
  ProcessIdentity identity;
  std::vector<std::string> args;
};

// Processes with an argument that contains the needle, sorted by pid; never our own.
Result<std::vector<FoundProcess>> FindProcesses(const std::string& needle);

}  // namespace microvm::core
