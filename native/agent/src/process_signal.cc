#include "process_signal.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace microvm::agent {

int SignalProcess(pid_t pid, int number) {
  if (pid <= 0) return EINVAL;
  return kill(pid, number) == 0 ? 0 : errno;
}

int SignalGroup(pid_t leader, int number) {
  if (leader <= 1) return EINVAL;
  return kill(-leader, number) == 0 ? 0 : errno;
}

bool OwnsNamespace() { return getpid() == 1; }

int SignalNamespace(int number) {
  if (!OwnsNamespace()) return EPERM;
  return kill(-1, number) == 0 ? 0 : errno;
}

}  // namespace microvm::agent
