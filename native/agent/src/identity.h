#pragma once

#include <cstdint>
#include <string_view>

namespace microvm::agent {

// What is repaired after a restore. Each answers 0 or an errno.

int SetWallClock(uint64_t microseconds);
// Adds the bytes to the pool, credits them, and reseeds at once.
int AddEntropy(std::string_view entropy);
int SetHostName(std::string_view name);
// Replaces /etc/machine-id atomically.
int SetMachineId(std::string_view id);

}  // namespace microvm::agent
