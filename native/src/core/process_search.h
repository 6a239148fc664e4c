#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/process_identity.h"
#include "core/result.h"

namespace microvm::core {

// Which processes are looked for. What is empty does not narrow the search. The command line is read last,
// and only of processes that all else is true of.
struct ProcessQuery {
  std::optional<std::vector<pid_t>> pids;
  // Real and effective user.
  std::optional<uid_t> uid;
  // The path in cgroup v2, as /proc/<pid>/cgroup has it.
  std::string cgroup;
  // Folders. They are compared as files, since a path in another mount namespace says nothing.
  std::string root;
  std::string cwd;
  // A part of at least one argument.
  std::string argument;
  std::chrono::milliseconds deadline{1000};
};

struct FoundProcess {
  ProcessIdentity identity;
  uid_t uid = 0;
  // Empty when we may not see them.
  std::string root;
  std::string cwd;
  std::string cgroup;
  std::vector<std::string> args;
};

// A process that may be one of those looked for: /proc did not answer in time.
struct UnansweredProcess {
  pid_t pid = 0;
  // What was known by then.
  std::string start_time;
  std::optional<uid_t> uid;
};

struct ProcessSearchResult {
  // Each sorted by pid.
  std::vector<FoundProcess> found;
  std::vector<UnansweredProcess> unanswered;
};

// Looks for processes; never our own. A read from /proc can wait as long as the process wants it to (its
// memory may lie on a file system that does not answer), so threads of their own do the reading. One that
// does not come back is given up at the deadline, and its process is not read again until that thread has
// come back.
Result<ProcessSearchResult> SearchProcesses(const ProcessQuery& query);

}  // namespace microvm::core
