#pragma once

#include <sys/types.h>

#include <set>

#include "command_cgroup.h"
#include "unique_fd.h"

namespace microvm::agent {

// Stops the workload and lets it go on: by the cgroup-v2 freezer where the agent has a cgroup for it, else by
// SIGSTOP and SIGCONT.
class Freezer {
 public:
  // Makes the workload's cgroup below `cgroup_root`, a mounted cgroup v2; without it signals are used.
  void UseCgroup(const char* cgroup_root);
  WorkloadCgroup cgroup() const { return {folder_.Get(), procs_.Get()}; }

  // Both answer 0 or an errno. `groups` are the process groups of the commands.
  int Begin(const std::set<pid_t>& groups);
  int Thaw(const std::set<pid_t>& groups);
  // When it does not settle. Signals only: the parent of a vfork cannot stop until its child has executed or
  // ended, and a child that was stopped first does neither. Lets such children go on for a moment, a longer
  // one each time, and stops all again. Answers 0 or an errno.
  int Again(const std::set<pid_t>& groups);
  // After Begin: has everything come to rest?
  bool Settled(const std::set<pid_t>& groups) const;

  bool frozen() const { return frozen_; }
  // There is no workload yet; it begins frozen or not.
  void Continue(bool frozen) { frozen_ = frozen; }

 private:
  UniqueFd folder_;
  UniqueFd procs_;
  UniqueFd freeze_;
  UniqueFd events_;
  bool frozen_ = false;
  unsigned attempts_ = 0;
};

}  // namespace microvm::agent
