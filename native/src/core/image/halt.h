#pragma once

#include <atomic>

#include "core/cancellation.h"
#include "core/image/image_status.h"

namespace microvm::core::image {

// Ends the work on all layers: when the caller has cancelled it, or when one of them has failed. Any thread.
class Halt {
 public:
  explicit Halt(const Cancellation& cancellation) : cancellation_(cancellation) {}

  void Request() { requested_.store(true, std::memory_order_relaxed); }
  ImageStatus Check() const {
    const bool is_wanted = cancellation_.IsRequested() || requested_.load(std::memory_order_relaxed);
    return is_wanted ? ImageStatus(SysError{ECANCELED, "flattenLayers", {}}) : ImageStatus();
  }
  bool IsCancelled() const { return cancellation_.IsRequested(); }

 private:
  const Cancellation& cancellation_;
  std::atomic<bool> requested_{false};
};

}  // namespace microvm::core::image
