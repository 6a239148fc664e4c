#include "core/job_queue.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "check.h"
#include "core/thread.h"
#include "job_fixture.h"

using namespace microvm::core;
using namespace microvm::test;

namespace {

class Countdown {
 public:
  explicit Countdown(int count) : count_(count) {}
  void Count() {
    const std::lock_guard lock(mutex_);
    --count_;
    changed_.notify_all();
  }
  void Await() {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, std::chrono::seconds(60), [this] { return count_ == 0; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_;
};

// How many were in Pass at the same time.
class HighWater {
 public:
  void Pass() {
    const int now = ++running_;
    for (int seen = most_; now > seen && !most_.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::yield();
    --running_;
  }
  int Most() const { return most_; }

 private:
  std::atomic<int> running_{0};
  std::atomic<int> most_{0};
};

// Work that says when it has begun and stays until the gate opens.
std::function<void()> Held(Countdown& begun, Gate& gate, Countdown& ended) {
  return [&] {
    begun.Count();
    gate.Pass();
    ended.Count();
  };
}

}  // namespace

TEST(no_more_at_once_than_it_has_threads) {
  JobQueue* queue = NewQueue(3);
  HighWater at_once;
  Countdown all(200);
  for (int i = 0; i < 200; ++i) {
    const auto work = [&] {
      at_once.Pass();
      all.Count();
    };
    CHECK(queue->Add({"test", nullptr, work}).Ok());
  }
  all.Await();
  CHECK(at_once.Most() >= 1 && at_once.Most() <= 3);
}

TEST(all_of_its_threads_are_at_work_together) {
  JobQueue* queue = NewQueue(3);
  Gate gate;
  Countdown begun(3);
  Countdown ended(3);
  for (int i = 0; i < 3; ++i) {
    CHECK(queue->Add({"test", nullptr, Held(begun, gate, ended)}).Ok());
  }
  begun.Await();
  gate.Open();
  ended.Await();
}

TEST(first_come_first_served) {
  JobQueue* queue = NewQueue(1);
  std::vector<int> order;
  Countdown all(50);
  for (int i = 0; i < 50; ++i) {
    CHECK(queue
              ->Add({"test", nullptr,
                     [&, i] {
                       order.push_back(i);
                       all.Count();
                     }})
              .Ok());
  }
  all.Await();
  for (int i = 0; i < 50; ++i) CHECK(order.at(static_cast<size_t>(i)) == i);
}

TEST(what_has_not_begun_can_be_taken_back) {
  JobQueue* queue = NewQueue(1);
  Gate gate;
  Countdown begun(1);
  Countdown ended(2);
  const auto first = std::make_shared<Cancellation>();
  const auto second = std::make_shared<Cancellation>();
  CHECK(queue->Add({"test", first, Held(begun, gate, ended)}).Ok());
  begun.Await();
  std::atomic<bool> has_run{false};
  CHECK(queue->Add({"test", second, [&] { has_run = true; }}).Ok());
  CHECK(!queue->Withdraw(first.get()));
  CHECK(queue->Withdraw(second.get()).has_value() && !queue->Withdraw(second.get()));
  CHECK(queue->Add({"test", nullptr, [&] { ended.Count(); }}).Ok());
  gate.Open();
  ended.Await();
  CHECK(!has_run);
}

TEST(company_is_had_only_from_free_threads) {
  JobQueue* queue = NewQueue(2);
  Gate gate;
  Countdown begun(1);
  Countdown ended(1);
  std::atomic<int> bodies{0};
  Countdown both(2);
  // Two at once: each waits until the other is there too.
  queue->RunTogether("test", 2, [&] {
    ++bodies;
    both.Count();
    both.Await();
  });
  CHECK(bodies == 2);
  CHECK(queue->Add({"test", nullptr, Held(begun, gate, ended)}).Ok());
  begun.Await();
  // This thread's own, and at most the one that is left.
  HighWater at_once;
  queue->RunTogether("test", 8, [&] { at_once.Pass(); });
  CHECK(at_once.Most() >= 1 && at_once.Most() <= 2);
  gate.Open();
  ended.Await();
}

TEST(jobs_that_ask_for_company_never_wait_for_each_other) {
  JobQueue* queue = NewQueue(2);
  Countdown all(300);
  for (int i = 0; i < 300; ++i) {
    CHECK(queue
              ->Add({"test", nullptr,
                     [&] {
                       queue->RunTogether("test", 4, [] { std::this_thread::yield(); });
                       all.Count();
                     }})
              .Ok());
  }
  all.Await();
}

TEST(a_fresh_thread_is_another_and_has_ended) {
  const auto self = std::this_thread::get_id();
  std::thread::id other;
  CHECK(RunOnFreshThread("test", [&] { other = std::this_thread::get_id(); }).Ok());
  CHECK(other != std::thread::id() && other != self);
}

RUN_TESTS()
