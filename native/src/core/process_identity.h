#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "core/result.h"

namespace microvm::core {

// Names one process for ever; see surface/process.ts.
struct ProcessIdentity {
  pid_t pid = 0;
  std::string start_time;
  std::string boot_id;
};

// What we use of /proc/<pid>/stat.
struct ProcessStat {
  char state = '?';
  std::string start_time;
  // A wait status; only meaningful for a zombie, and 0 when we may not see it.
  std::optional<int> exit_status;
};

// Parses the text of /proc/<pid>/stat; the command in it may hold any byte.
std::optional<ProcessStat> ParseProcessStat(const std::string& text);

// No process with that pid: empty.
Result<std::optional<ProcessStat>> ReadProcessStat(pid_t pid);

Result<std::string> ReadBootId();

// The identity of a living process or zombie; empty when there is none with this pid.
Result<std::optional<ProcessIdentity>> IdentifyProcess(pid_t pid);

}  // namespace microvm::core
