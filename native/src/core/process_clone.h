#pragma once

#include <sys/types.h>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

struct ClonedChild {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// The cgroup of the child, -1 for ours. `entered` is set before the child runs: when false, it has to move
// itself.
struct CloneCgroup {
  int fd = -1;
  bool entered = false;
};

// Runs entry(argument) in a new process that shares our memory while the calling thread waits for its exec or
// exit (as vfork does), on a stack of its own. Block every signal around it.
Result<ClonedChild> CloneSharingMemory(int (*entry)(void*), void* argument, CloneCgroup* cgroup);

}  // namespace microvm::core
