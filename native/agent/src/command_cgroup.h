#pragma once

#include <string>

#include "unique_fd.h"

namespace microvm::agent {

// The cgroup v2 that all commands are below, by its folder and its cgroup.procs; -1 where there is none.
struct WorkloadCgroup {
  int folder_fd = -1;
  int procs_fd = -1;
};

// A cgroup v2 of one command, below the workload's. Whatever the command starts stays in it, also what leaves
// the command's process group. Empty where the guest has no cgroup v2.
class CommandCgroup {
 public:
  CommandCgroup() = default;
  // Makes it below the folder `workload_fd`, which outlives it; empty when that fails or `workload_fd` is -1.
  CommandCgroup(int workload_fd, const std::string& name);

  bool valid() const { return !name_.empty(); }
  // The cgroup.procs by which a process joins; invalid when it cannot be opened.
  UniqueFd OpenProcs() const;
  // Sends SIGKILL to every process in it. False when that could not be done.
  bool Kill() const;
  // Sends a signal to one process after the other, as often as new ones appear: each gets it once. False when
  // there is none, or they cannot be listed. It is also the way to kill on Linux before 5.14, which has no
  // cgroup.kill.
  bool SignalEach(int number) const;
  // Forgets it. False as long as a process is left in it: call again when one has ended.
  bool Remove();

 private:
  std::string File(const char* name) const { return name_ + "/" + name; }

  int workload_fd_ = -1;
  std::string name_;
};

}  // namespace microvm::agent
