#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "core/job_queue.h"

namespace microvm::test {

// Never destroyed, as its threads need it; kept, since it is no leak when they have ended before the process.
inline core::JobQueue* NewQueue(size_t threads) {
  static auto* const kKept = std::make_unique<std::vector<core::JobQueue*>>().release();
  kKept->push_back(std::make_unique<core::JobQueue>(threads).release());
  return kKept->back();
}

// Opens once, for all who wait.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

}  // namespace microvm::test
