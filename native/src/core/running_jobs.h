#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "core/cancellation.h"
#include "core/exit_end.h"
#include "core/job_queue.h"
#include "core/result.h"

namespace microvm::core {

// The jobs of one owner, which may end before they do. Any thread.
class RunningJobs final : public EndsAtExit, public std::enable_shared_from_this<RunningJobs> {
 public:
  static std::shared_ptr<RunningJobs> Create();

  // Runs a job in a queue, or without one on a thread of its own, which is for what may wait.
  Status Run(JobQueue* queue, JobQueue::Job job);
  // When it has not begun it does so at once, on the calling thread: for a job that sees that it is
  // cancelled.
  void RaisePriority(const Cancellation* cancellation);

  // Drops what has not begun and cancels the rest, and all that is still to come.
  void BeginEnd() override;
  bool AwaitEnd(Clock::time_point deadline) override;
  void AwaitEnd();

 private:
  struct Running {
    JobQueue* queue;
    std::shared_ptr<Cancellation> cancellation;
  };

  void End(const Cancellation* cancellation);
  std::vector<Running>::iterator Find(const Cancellation* cancellation);

  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_ending_ = false;
  std::vector<Running> running_;
};

}  // namespace microvm::core
