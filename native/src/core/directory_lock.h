#pragma once

#include <optional>
#include <string>
#include <variant>

#include "core/handles.h"
#include "core/process_identity.h"
#include "core/result.h"

namespace microvm::core {

// Who holds a lock, as far as its file tells: only a process that lives.
struct LockHolder {
  std::optional<pid_t> pid;
  std::string start_time;
};

// A held lock, or the one who holds it. The lock lives as long as the descriptor.
using LockOutcome = std::variant<UniqueFd, LockHolder>;

// Lets go, without leaving our name behind.
void UnlockDirectory(UniqueFd lock);

// Tries to take flock on `<path>/lock` and writes our identity into it. Does not wait for the lock.
Result<LockOutcome> LockDirectory(const std::string& path);

}  // namespace microvm::core
