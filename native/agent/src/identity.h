#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace microvm::agent {

// What is repaired after a restore. Each answers 0 or an errno.

int SetWallClock(uint64_t microseconds);
// Adds the bytes to the pool, credits them, and reseeds at once.
int AddEntropy(std::string_view entropy);
int SetHostName(std::string_view name);
// Replaces /etc/machine-id atomically. On a root that is read-only a file of /run is bound over it; a guest
// that has no such file has no place for the id, which is no error.
int SetMachineId(std::string_view id);
// The same below another root, such as a test's.
int SetMachineIdBelow(const std::string& root, std::string_view id);

}  // namespace microvm::agent
