#pragma once

#include <string>
#include <vector>

#include "unique_fd.h"

namespace microvm::agent {

struct SpawnRequest {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value, over the agent's own
  std::string cwd;
};

// A child that was forked; whether its program could be started is told by `status`.
struct Child {
  pid_t pid = -1;
  UniqueFd in;   // the child's standard input, for writing
  UniqueFd out;  // its outputs, for reading
  UniqueFd err;
  UniqueFd status;  // ends without a byte when the program was started, else gives one `SpawnFailure`
};

struct SpawnFailure {
  int error;
  int step;  // index of `SpawnStepName`
};

const char* SpawnStepName(int step);

// Forks a child in a session of its own, with default signals and only the descriptors 0-2.
// `cgroup_procs_fd`, if not negative, is the cgroup.procs file of the cgroup that it joins. Answers 0 or an
// errno.
int Spawn(const SpawnRequest& request, int cgroup_procs_fd, Child* child);

// The limit of descriptors that the agent was started with goes to its children; its own is raised.
void RaiseDescriptorLimit();

}  // namespace microvm::agent
