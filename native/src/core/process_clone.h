#pragma once

#include <sys/types.h>

#include <mutex>

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

// A child that shares our memory and changes its user or its user namespace makes the kernel mark that
// memory, ours too, as undumpable: no core file, and /proc/self belongs to root. Held around such a clone,
// this takes it back.
class KeepDumpable {
 public:
  KeepDumpable();
  KeepDumpable(const KeepDumpable&) = delete;
  KeepDumpable& operator=(const KeepDumpable&) = delete;
  ~KeepDumpable();

 private:
  // One at a time: another's child would be taken for how it was.
  std::unique_lock<std::mutex> turn_;
  const int before_;
};

// Runs entry(argument) in a new process that shares our memory while the calling thread waits for its exec or
// exit (as vfork does), on a stack of its own. Block every signal around it.
Result<ClonedChild> CloneSharingMemory(int (*entry)(void*), void* argument, CloneCgroup* cgroup);

}  // namespace microvm::core
