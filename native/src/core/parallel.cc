#include "core/parallel.h"

#include <algorithm>

#include "core/thread.h"

namespace microvm::core {

void ParallelRunner::Run(size_t count, const std::function<void(size_t)>& task) {
  if (count > 1) StartHelpers(count - 1);
  if (count <= 1 || helpers_ == 0) {
    for (size_t i = 0; i < count; ++i) task(i);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    task_ = &task;
    count_ = count;
    next_ = 0;
    ++round_;
  }
  changed_.notify_all();
  TakeTasks(task, count);
  std::unique_lock lock(mutex_);
  // From here a helper that wakes late finds no task.
  task_ = nullptr;
  changed_.wait(lock, [this] { return busy_ == 0; });
}

void ParallelRunner::StartHelpers(size_t wanted) {
  while (helpers_ < max_helpers_ && static_cast<size_t>(helpers_) < wanted) {
    // Fewer helpers are slower, not wrong.
    if (!StartThread("mvm-disk", [this] { Help(); }).Ok()) return;
    ++helpers_;
  }
}

void ParallelRunner::Help() {
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return task_ != nullptr && round_ != seen; });
    seen = round_;
    const std::function<void(size_t)>* task = task_;
    const size_t count = count_;
    ++busy_;
    lock.unlock();
    TakeTasks(*task, count);
    lock.lock();
    if (--busy_ == 0) changed_.notify_all();
  }
}

void ParallelRunner::TakeTasks(const std::function<void(size_t)>& task, size_t count) {
  for (size_t i = next_.fetch_add(1); i < count; i = next_.fetch_add(1)) task(i);
}

}  // namespace microvm::core
