#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace microvm::core {

// A few threads that wait for disks together. One owner thread calls Run; the helpers start with the first
// need and never end, so an instance must never be destroyed.
class ParallelRunner {
 public:
  explicit ParallelRunner(int max_helpers) : max_helpers_(max_helpers) {}

  // Calls task(0) … task(count - 1), on this thread and the helpers, and returns when all are done.
  void Run(size_t count, const std::function<void(size_t)>& task);

 private:
  void StartHelpers(size_t wanted);
  void Help();
  void TakeTasks(const std::function<void(size_t)>& task, size_t count);

  const int max_helpers_;
  int helpers_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(size_t)>* task_ = nullptr;
  size_t count_ = 0;
  uint64_t round_ = 0;
  int busy_ = 0;
  std::atomic<size_t> next_{0};
};

}  // namespace microvm::core
