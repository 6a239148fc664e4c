#pragma once

#include <atomic>

namespace microvm::core {

// Asks a long operation to end early. Set from any thread, read by the one at work.
class Cancellation {
 public:
  void Cancel() { requested_.store(true, std::memory_order_relaxed); }
  bool IsRequested() const { return requested_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace microvm::core
