#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// Something that goes on until it is destroyed. Move-only; on the loop's thread.
class Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::function<void()> end) : end_(std::move(end)) {}
  Subscription(Subscription&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  Subscription& operator=(Subscription&& other) noexcept {
    End();
    end_ = std::exchange(other.end_, nullptr);
    return *this;
  }
  ~Subscription() { End(); }

  explicit operator bool() const { return end_ != nullptr; }
  void End() {
    if (auto end = std::exchange(end_, nullptr)) end();
  }

 private:
  std::function<void()> end_;
};

// The one thread on which everything of this process waits that waits for sockets; started by its first use
// and never ended. What it runs must not wait.
class WaitLoop {
 public:
  using Task = std::function<void()>;
  using Clock = std::chrono::steady_clock;

  static Result<WaitLoop*> Started();

  // Any thread. Tasks run in order.
  void Post(Task task);

  // The rest is for the loop's thread only. A handler may end any subscription, its own too, and is not
  // called once that has ended.

  // Calls `ready` as long as there is something to read (or accept, or an end); `fd` must outlive it.
  Result<Subscription> WhenReadable(int fd, Task ready);
  // Calls `due` once.
  Subscription At(Clock::time_point moment, Task due);
  Subscription After(std::chrono::milliseconds delay, Task due) { return At(Clock::now() + delay, due); }

 private:
  using Timers = std::map<std::pair<Clock::time_point, uint64_t>, std::shared_ptr<const Task>>;

  Status Start();
  void Run();
  int NextTimeoutMs() const;
  void RunReady(uint64_t id);
  void RunTasks();
  void RunDue();

  std::mutex mutex_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::vector<Task> tasks_;
  // The loop's thread only.
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<const Task>> readable_;
  Timers timers_;
};

}  // namespace microvm::core
