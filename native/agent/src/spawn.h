#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace microvm::agent {

struct ResourceLimit {
  int resource;  // as setrlimit(2) numbers it
  uint64_t value;
};

struct Terminal {
  uint16_t columns = 0;
  uint16_t rows = 0;
  std::string term;  // the variable TERM; empty: the agent's own
};

// A variable of a command whose value is a secret.
struct SecretVariable {
  std::string name;
  std::string secret;
};

struct SpawnRequest {
  // Work of our own in the place of a program: it runs in the child, which ends with what it answers. The
  // fields of a program are then left empty.
  int (*run)() = nullptr;
  uint64_t id = 0;        // of the command, as the host names it; 0: it lives and dies with its stream
  bool detached = false;  // nobody reads its output yet
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value, over the defaults and the environment of all commands
  std::string cwd;
  bool makes_cwd = false;  // `cwd` is made by root where it is absent
  std::string user;        // see FindAccount; empty: the agent's own
  // `user` is that of the image: a number without an entry then has the group 0, as the images' format has
  // it.
  bool is_image_user = false;
  bool is_main = false;  // `argv` is the image's own: it gets the image's signal when the VM stops
  std::vector<ResourceLimit> limits;
  std::optional<Terminal> terminal;
  std::vector<SecretVariable> secrets;
};

// A child that was forked; whether its program could be started is told by `status`.
struct Child {
  pid_t pid = -1;
  UniqueFd in;   // the child's standard input, for writing
  UniqueFd out;  // its outputs, for reading; a terminal has one for both
  UniqueFd err;
  bool has_terminal = false;
  UniqueFd status;  // ends without a byte when the program was started, else gives one `SpawnFailure`
};

enum SpawnStep {
  kSpawnStart,
  kSpawnSession,
  kSpawnTerminal,
  kSpawnCgroup,
  kSpawnLimits,
  kSpawnUser,
  kSpawnCwd,
  kSpawnExec,
  kSpawnArgv
};

struct SpawnFailure {
  int error;  // 0: there is none
  int step;   // a SpawnStep
};

const char* SpawnStepName(int step);

// Forks a child in a session of its own, with default signals and only the descriptors 0-2.
// `cgroup_procs_fd`, if not negative, is the cgroup.procs file of the cgroup that it joins.
// `of_all`: NAME=value, what all commands get over the defaults.
SpawnFailure Spawn(const SpawnRequest& request, const std::vector<std::string>& of_all, int cgroup_procs_fd,
                   Child* child);

// The limit of descriptors that the agent was started with goes to its children; its own is raised.
void RaiseDescriptorLimit();
// This process gives itself the limit that it was started with, before it becomes another program.
void RestoreDescriptorLimit();

}  // namespace microvm::agent
