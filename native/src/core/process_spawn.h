#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "core/handles.h"
#include "core/process_identity.h"
#include "core/result.h"

namespace microvm::core {

struct ResourceLimit {
  int resource = 0;
  rlim_t value = 0;
};

// What to start. Descriptors are borrowed: they need to stay open until Spawn returns.
struct SpawnRequest {
  std::string file;
  std::vector<std::string> args;  // args[0] is the program's own name
  std::vector<std::string> env;   // NAME=value
  std::string cwd;                // empty: ours
  std::vector<int> fds;           // descriptor i of the child; -1: /dev/null
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::string cgroup;
  std::string netns;
  std::vector<ResourceLimit> limits;
};

// A running child. Until its pidfd is taken away it is ours alone: its destruction kills and reaps it, so
// that a result that nobody comes to fetch leaves no process behind.
struct SpawnedChild {
  SpawnedChild(ProcessIdentity child, UniqueFd fd) : identity(std::move(child)), pidfd(std::move(fd)) {}
  SpawnedChild(SpawnedChild&&) = default;
  SpawnedChild& operator=(SpawnedChild&&) = delete;
  ~SpawnedChild();

  ProcessIdentity identity;
  UniqueFd pidfd;
};

// Starts a program and returns when it has been executed. Call it on any thread that may wait a few
// milliseconds.
Result<SpawnedChild> Spawn(const SpawnRequest& request);

}  // namespace microvm::core
