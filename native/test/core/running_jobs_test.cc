#include "core/running_jobs.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"
#include "job_fixture.h"

using namespace microvm::core;
using namespace microvm::test;

namespace {

using std::chrono::milliseconds;

JobQueue::Job NewJob(std::shared_ptr<Cancellation> cancellation, std::function<void()> work) {
  return {"job", std::move(cancellation), std::move(work)};
}

// Runs until it is cancelled, and says so a moment later.
struct Endless {
  std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
  std::shared_ptr<Gate> begun = std::make_shared<Gate>();
  std::shared_ptr<std::atomic<bool>> has_ended = std::make_shared<std::atomic<bool>>(false);

  JobQueue::Job Job() const {
    return NewJob(cancellation, [self = *this] {
      self.begun->Open();
      while (!self.cancellation->IsRequested()) std::this_thread::sleep_for(milliseconds(1));
      std::this_thread::sleep_for(milliseconds(20));
      *self.has_ended = true;
    });
  }
};

}  // namespace

TEST(an_end_waits_for_what_has_begun_in_a_queue_and_on_a_thread) {
  const auto jobs = RunningJobs::Create();
  const Endless queued;
  const Endless alone;
  CHECK(jobs->Run(NewQueue(1), queued.Job()).Ok());
  CHECK(jobs->Run(nullptr, alone.Job()).Ok());
  queued.begun->Pass();
  alone.begun->Pass();
  jobs->BeginEnd();
  jobs->AwaitEnd();
  CHECK(*queued.has_ended);
  CHECK(*alone.has_ended);
}

TEST(an_end_drops_what_has_not_begun) {
  const auto jobs = RunningJobs::Create();
  JobQueue* queue = NewQueue(1);
  const Endless first;
  const auto has_run = std::make_shared<std::atomic<bool>>(false);
  CHECK(jobs->Run(queue, first.Job()).Ok());
  first.begun->Pass();
  CHECK(jobs->Run(queue, NewJob(std::make_shared<Cancellation>(), [has_run] { *has_run = true; })).Ok());
  jobs->BeginEnd();
  jobs->AwaitEnd();
  CHECK(*first.has_ended);
  CHECK(!*has_run);
}

TEST(an_end_waits_no_longer_than_it_may) {
  const auto jobs = RunningJobs::Create();
  const auto gate = std::make_shared<Gate>();
  CHECK(jobs->Run(nullptr, NewJob(std::make_shared<Cancellation>(), [gate] { gate->Pass(); })).Ok());
  jobs->BeginEnd();
  CHECK(!jobs->AwaitEnd(RunningJobs::Clock::now() + milliseconds(20)));
  gate->Open();
  CHECK(jobs->AwaitEnd(RunningJobs::Clock::now() + std::chrono::seconds(60)));
}

TEST(what_comes_after_the_end_is_cancelled) {
  const auto jobs = RunningJobs::Create();
  jobs->BeginEnd();
  const Endless late;
  CHECK(jobs->Run(nullptr, late.Job()).Ok());
  jobs->AwaitEnd();
  CHECK(*late.has_ended);
}

TEST(a_job_of_raised_priority_runs_at_once) {
  const auto jobs = RunningJobs::Create();
  JobQueue* queue = NewQueue(1);
  const Endless first;
  CHECK(jobs->Run(queue, first.Job()).Ok());
  first.begun->Pass();
  const auto cancellation = std::make_shared<Cancellation>();
  bool has_run = false;
  CHECK(jobs->Run(queue, NewJob(cancellation, [&has_run] { has_run = true; })).Ok());
  jobs->RaisePriority(cancellation.get());
  CHECK(has_run);
  jobs->BeginEnd();
  jobs->AwaitEnd();
}

RUN_TESTS()
