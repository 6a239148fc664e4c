#pragma once

#include <time.h>

#include <cstdint>

namespace microvm::agent {

constexpr uint64_t kNever = UINT64_MAX;

// Milliseconds of CLOCK_MONOTONIC: steps of the wall clock and pauses of the VM do not fire deadlines.
inline uint64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace microvm::agent
