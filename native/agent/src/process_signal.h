#pragma once

#include <sys/types.h>

namespace microvm::agent {

// kill(2) reads 0 as the caller's own group, -1 as every process and a negative number as a group, so that a
// number which was never set ends strangers. These three refuse such a number; nothing else in the agent
// calls kill(2) with a number that it did not get from getpid(2). Each answers 0 or an errno.

int SignalProcess(pid_t pid, int number);

// `leader` is a child that made a session, and so a group, of its own.
int SignalGroup(pid_t leader, int number);

// True for process 1: everything else in its PID namespace is below it.
bool OwnsNamespace();

// Everything in the PID namespace but the caller, which must own the namespace.
int SignalNamespace(int number);

}  // namespace microvm::agent
