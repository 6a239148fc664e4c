#pragma once

#include <optional>

#include "core/handles.h"
#include "core/process_identity.h"
#include "core/result.h"

namespace microvm::core {

// How a process ended; both empty: the kernel did not tell.
struct ProcessEnd {
  std::optional<int> exit_code;
  std::optional<int> signal;
};

// Waits for a child by its pidfd and reaps it. A child that someone else has reaped has an unknown end.
ProcessEnd WaitForChild(int pidfd);

// Ends a child of ours for good.
void KillAndReap(int pidfd);

// The end of a process that is not ours to reap, once its pidfd is readable.
ProcessEnd InspectEnd(int pidfd, const ProcessIdentity& identity);

// Opens a pidfd of exactly this process; empty when it is gone.
Result<std::optional<UniqueFd>> OpenPidfd(const ProcessIdentity& identity);

// False when the process is gone.
Result<bool> SendSignal(int pidfd, int signal);

}  // namespace microvm::core
