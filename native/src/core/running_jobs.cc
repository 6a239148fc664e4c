#include "core/running_jobs.h"

#include <algorithm>
#include <utility>

#include "core/thread.h"

namespace microvm::core {

std::shared_ptr<RunningJobs> RunningJobs::Create() {
  auto jobs = std::make_shared<RunningJobs>();
  EndAtExit(jobs);
  return jobs;
}

Status RunningJobs::Run(JobQueue* queue, JobQueue::Job job) {
  const auto cancellation = job.cancellation;
  {
    const std::lock_guard lock(mutex_);
    if (is_ending_) cancellation->Cancel();
    running_.push_back({queue, cancellation});
  }
  job.work = [self = shared_from_this(), cancellation, work = std::move(job.work)] {
    work();
    self->End(cancellation.get());
  };
  auto started =
      queue != nullptr ? queue->Add(std::move(job)) : StartThread(job.thread_name, std::move(job.work));
  if (!started.Ok()) End(cancellation.get());
  return started;
}

void RunningJobs::RaisePriority(const Cancellation* cancellation) {
  JobQueue* queue = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto running = Find(cancellation);
    if (running != running_.end()) queue = running->queue;
  }
  if (queue == nullptr) return;
  if (const auto job = queue->Withdraw(cancellation)) job->work();
}

void RunningJobs::BeginEnd() {
  // Destroyed without the lock.
  std::vector<JobQueue::Job> withdrawn;
  const std::lock_guard lock(mutex_);
  is_ending_ = true;
  std::vector<Running> begun;
  for (const Running& running : running_) {
    running.cancellation->Cancel();
    auto job = running.queue != nullptr ? running.queue->Withdraw(running.cancellation.get()) : std::nullopt;
    if (job) {
      withdrawn.push_back(std::move(*job));
    } else {
      begun.push_back(running);
    }
  }
  running_.swap(begun);
}

bool RunningJobs::AwaitEnd(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return ended_.wait_until(lock, deadline, [this] { return running_.empty(); });
}

void RunningJobs::AwaitEnd() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return running_.empty(); });
}

void RunningJobs::End(const Cancellation* cancellation) {
  const std::lock_guard lock(mutex_);
  running_.erase(Find(cancellation));
  ended_.notify_all();
}

// With the lock held.
std::vector<RunningJobs::Running>::iterator RunningJobs::Find(const Cancellation* cancellation) {
  return std::find_if(running_.begin(), running_.end(), [cancellation](const Running& running) {
    return running.cancellation.get() == cancellation;
  });
}

}  // namespace microvm::core
