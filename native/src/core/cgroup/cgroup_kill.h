#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "core/cancellation.h"
#include "core/result.h"

namespace microvm::core {

struct CgroupKillRequest {
  std::string path;
  std::chrono::milliseconds timeout{10'000};
  // False only in tests: as on a kernel before 5.14.
  bool may_use_kill_file = true;
};

struct CgroupEnd {
  // False: there was no such cgroup.
  bool existed = false;
  // Processes that the kernel killed for want of memory, in the whole tree; empty without a memory
  // controller.
  std::optional<int64_t> oom_kills;
};

// Kills every process in a cgroup and in those beneath it, waits by the kernel's event until none is left and
// removes the cgroups, the lowest first. ETIMEDOUT names the processes that would not die, EDEADLK is our own
// cgroup.
Result<CgroupEnd> KillCgroup(const CgroupKillRequest& request, const Cancellation& cancellation);

}  // namespace microvm::core
