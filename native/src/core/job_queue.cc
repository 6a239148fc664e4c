#include "core/job_queue.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/thread.h"

namespace microvm::core {
namespace {

// How long a thread stays that has nothing to do: calls come in bursts.
constexpr std::chrono::milliseconds kIdleTime(100);

JobQueue* NewQueue() {
  const size_t processors = std::clamp<size_t>(std::thread::hardware_concurrency(), 2, 16);
  return std::make_unique<JobQueue>(processors).release();
}

}  // namespace

JobQueue& JobQueue::ForData() {
  static JobQueue& queue = *NewQueue();
  return queue;
}

JobQueue& JobQueue::ForCalls() {
  static JobQueue& queue = *NewQueue();
  return queue;
}

JobQueue& JobQueue::ForShortCalls() {
  static JobQueue& queue = *NewQueue();
  return queue;
}

Status JobQueue::Add(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (!HasFreeThread() && threads_ < max_threads_) {
      auto started = StartWorker();
      if (!started.Ok() && threads_ == 0) return started;
    }
    waiting_.push_back(std::move(job));
  }
  // Without the lock, which the thread that wakes up wants first of all.
  added_.notify_one();
  return {};
}

bool JobQueue::TryAdd(Job job) {
  const std::lock_guard lock(mutex_);
  if (!HasFreeThread() && (threads_ == max_threads_ || !waiting_.empty() || !StartWorker().Ok()))
    return false;
  waiting_.push_back(std::move(job));
  added_.notify_one();
  return true;
}

void JobQueue::RunTogether(const char* thread_name, size_t count, const std::function<void()>& body) {
  std::mutex mutex;
  std::condition_variable ended;
  size_t running = 0;
  const auto help = [&] {
    body();
    // Notified with the lock held: the waiter may not destroy the condition before.
    const std::lock_guard lock(mutex);
    --running;
    ended.notify_all();
  };
  for (size_t i = 1; i < count; ++i) {
    {
      const std::lock_guard lock(mutex);
      ++running;
    }
    if (TryAdd({thread_name, nullptr, help})) continue;
    const std::lock_guard lock(mutex);
    --running;
    break;
  }
  body();
  std::unique_lock lock(mutex);
  ended.wait(lock, [&] { return running == 0; });
}

std::optional<JobQueue::Job> JobQueue::Withdraw(const Cancellation* cancellation) {
  const std::lock_guard lock(mutex_);
  const auto job = std::find_if(waiting_.begin(), waiting_.end(), [cancellation](const Job& waiting) {
    return waiting.cancellation.get() == cancellation;
  });
  if (job == waiting_.end()) return std::nullopt;
  std::optional<Job> withdrawn(std::move(*job));
  waiting_.erase(job);
  return withdrawn;
}

// With the lock held, in which the thread begins.
Status JobQueue::StartWorker() {
  auto started = StartThread("mvm-job", [this] { Run(); });
  if (started.Ok()) {
    ++threads_;
    // One that has not got to its wait yet is as free as one that waits.
    ++idle_;
  }
  return started;
}

void JobQueue::Run() {
  std::unique_lock lock(mutex_);
  while (added_.wait_for(lock, kIdleTime, [this] { return !waiting_.empty(); })) {
    --idle_;
    {
      Job job = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      pthread_setname_np(pthread_self(), job.thread_name);
      job.work();
    }
    lock.lock();
    ++idle_;
  }
  --idle_;
  --threads_;
}

}  // namespace microvm::core
