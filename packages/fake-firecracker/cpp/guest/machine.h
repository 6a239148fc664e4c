#pragma once

#include <sys/types.h>

namespace microvm::fake {

struct MachineOptions {
  // Of the host, which become 0 in the guest.
  uid_t uid;
  gid_t gid;
  int control;
  int console;
  int listener;
};

// The guest's side, as process 1 of its namespaces: waits for the boot, makes the root folder and runs the
// agent.
[[noreturn]] void RunMachine(const MachineOptions& options);

}  // namespace microvm::fake
