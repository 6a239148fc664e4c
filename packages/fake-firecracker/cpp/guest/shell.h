#pragma once

#include <sys/types.h>

#include <string>

#include "guest/control.h"

namespace microvm::fake {

// What the VMM holds of a guest: a process in user, pid, mount, uts, net and ipc namespaces of its own,
// without a capability in the initial ones, that waits for `Signal::kBoot` and dies with the VMM.
struct Shell {
  UniqueFd control;
  UniqueFd console;           // what the guest writes to its serial port
  std::string agent_address;  // where the agent will listen: a name in the abstract space of unix sockets

  bool valid() const { return static_cast<bool>(control); }
};

struct ShellOptions {
  // Whom the guest belongs to on the host; only root can choose. Never root: the host's files are root's,
  // with or without a capability.
  uid_t uid = 0;
  gid_t gid = 0;
  // The mount namespace that the guest's is made from, or -1: the caller's. It must have a /proc and a /dev.
  int mount_namespace = -1;
};

// 0 or an errno. The guest becomes a child of the caller, and its end a SIGCHLD; so does that of a process
// which helps.
int SpawnShell(const ShellOptions& options, Shell* shell);

// For the program that the caller becomes by execve: the shell as text, its descriptors left open.
std::string HandOver(Shell shell);
bool TakeOver(const std::string& text, Shell* shell);

// The memory of the program's arguments, which the guest's process is renamed in; to be called first in main.
void RememberArguments(int argc, char** argv);

}  // namespace microvm::fake
