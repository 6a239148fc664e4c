#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "core/cancellation.h"
#include "core/result.h"

namespace microvm::core {

// Runs jobs on a few threads, first come, first served: a hundred at once, each on a thread of its own, would
// keep the event loop's thread from the processors. A job must end by itself, must wait for no other that may
// be in the queue, and must leave its thread as it was. Any thread. An instance must never be destroyed.
class JobQueue {
 public:
  struct Job {
    const char* thread_name = "";
    // Names the job; what it does about it is its own affair.
    std::shared_ptr<Cancellation> cancellation;
    std::function<void()> work;
  };

  explicit JobQueue(size_t max_threads) : max_threads_(max_threads) {}

  // All are of the whole process, not of one JavaScript environment. For what reads or writes data in any
  // amount, such as copies and digests:
  static JobQueue& ForData();
  // For what only calls the kernel many times, so that it never waits behind the data:
  static JobQueue& ForCalls();
  // For what takes a few milliseconds, so that it never waits behind either:
  static JobQueue& ForShortCalls();

  // Fails when no thread can be had at all.
  Status Add(Job job);
  // Runs body on this thread and on free ones, `count` at most, and returns when all have ended. A job of the
  // data may call it.
  void RunTogether(const char* thread_name, size_t count, const std::function<void()>& body);
  // Takes back a job that has not begun.
  std::optional<Job> Withdraw(const Cancellation* cancellation);

 private:
  // Only when it can begin at once, so that a job may wait for it.
  bool TryAdd(Job job);
  bool HasFreeThread() const { return idle_ > waiting_.size(); }
  Status StartWorker();
  void Run();

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable added_;
  std::list<Job> waiting_;
  size_t threads_ = 0;
  size_t idle_ = 0;
};

}  // namespace microvm::core
