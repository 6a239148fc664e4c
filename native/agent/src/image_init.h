#pragma once

#include <string>

#include "unique_fd.h"

namespace microvm::agent {

// The image's own /sbin/init as process 1, and the agent as a process beside it that no service manager
// knows.
class ImageInit {
 public:
  // Called once as process 1, in the image's root. Returns in the process that is the agent from now on:
  // answers empty, or why it could not be made. Process 1 waits for `Start` in it.
  [[nodiscard]] std::string Fork(char* own_name);
  // The agent has opened its cgroups: process 1 enters the workload's, which is the root of all that it sees
  // of cgroups, and becomes the image's init; returns once it has. Where the image has none, the guest ends
  // and this does not return: nobody is told of a guest that is ready. Without a `Fork` it does nothing.
  void Start();

 private:
  UniqueFd go_;
  UniqueFd began_;
};

// Asks process 1, if it is a service manager that knows these signals, to end the guest.
void AskInit(bool is_reboot);

}  // namespace microvm::agent
