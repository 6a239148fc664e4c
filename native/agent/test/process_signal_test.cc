#include "process_signal.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

#include "check.h"

namespace {

using namespace microvm::agent;

// A child that leads a group of its own and waits for a signal.
pid_t StartChild() {
  int ready[2];
  CHECK(pipe(ready) == 0);
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    setsid();
    close(ready[0]);
    close(ready[1]);
    while (true) pause();
  }
  close(ready[1]);
  char byte;
  CHECK(read(ready[0], &byte, 1) == 0);  // the child has closed its end, so its group is made
  close(ready[0]);
  return pid;
}

int EndOf(pid_t pid) {
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
  return WTERMSIG(status);
}

// Signal 0 only asks, so that a failure of this test ends nobody.
void NumbersThatNameOthersAreRefused() {
  for (const pid_t pid : {0, -1}) CHECK(SignalProcess(pid, 0) == EINVAL);
  for (const pid_t leader : {0, 1, -1}) CHECK(SignalGroup(leader, 0) == EINVAL);
  CHECK(SignalNamespace(0) == EPERM);
}

void AProcessIsSignalledByItsNumber() {
  const pid_t child = StartChild();
  CHECK(SignalProcess(child, SIGTERM) == 0 && EndOf(child) == SIGTERM);
}

void AGroupIsSignalledByItsLeader() {
  const pid_t leader = StartChild();
  CHECK(SignalGroup(leader, SIGTERM) == 0 && EndOf(leader) == SIGTERM);
  CHECK(SignalGroup(leader, SIGTERM) == ESRCH);
}

}  // namespace

int main() {
  NumbersThatNameOthersAreRefused();
  AProcessIsSignalledByItsNumber();
  AGroupIsSignalledByItsLeader();
}
