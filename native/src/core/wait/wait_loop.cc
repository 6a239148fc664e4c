#include "core/wait/wait_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <climits>

#include "core/thread.h"

namespace microvm::core {
namespace {

constexpr uint64_t kWakeId = 0;

Status Register(int epoll, int fd, uint64_t id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return SysError::Last("epoll_ctl");
  return {};
}

}  // namespace

Result<WaitLoop*> WaitLoop::Started() {
  // Never destroyed: its thread may run until the very end of the process.
  static WaitLoop* const kInstance = std::make_unique<WaitLoop>().release();
  auto started = kInstance->Start();
  if (!started.Ok()) return started.Error();
  return kInstance;
}

Status WaitLoop::Start() {
  const std::lock_guard lock(mutex_);
  if (epoll_) return {};
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return SysError::Last("epoll_create1");
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return SysError::Last("eventfd");
  auto registered = Register(epoll.Get(), wake.Get(), kWakeId);
  if (!registered.Ok()) return registered;
  epoll_ = std::move(epoll);
  wake_ = std::move(wake);
  auto started = StartThread("mvm-waits", [this] { Run(); });
  if (!started.Ok()) epoll_.Reset();
  return started;
}

void WaitLoop::Post(Task task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  if (tasks_.size() == 1) eventfd_write(wake_.Get(), 1);
}

Result<Subscription> WaitLoop::WhenReadable(int fd, Task ready) {
  const uint64_t id = ++last_id_;
  auto registered = Register(epoll_.Get(), fd, id);
  if (!registered.Ok()) return registered.Error();
  readable_.emplace(id, std::make_shared<const Task>(std::move(ready)));
  return Subscription([this, fd, id] {
    // A close is not enough: a child being made at this moment may hold a copy, which keeps the entry alive.
    epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, fd, nullptr);
    readable_.erase(id);
  });
}

Subscription WaitLoop::At(Clock::time_point moment, Task due) {
  const auto key = std::make_pair(moment, ++last_id_);
  timers_.emplace(key, std::make_shared<const Task>(std::move(due)));
  return Subscription([this, key] { timers_.erase(key); });
}

void WaitLoop::Run() {
  while (true) {
    epoll_event events[64];
    const int timeout = NextTimeoutMs();
    const int count = RetryOnSignal([&] { return epoll_wait(epoll_.Get(), events, 64, timeout); });
    for (int i = 0; i < count; ++i) RunReady(events[i].data.u64);
    RunTasks();
    RunDue();
  }
}

int WaitLoop::NextTimeoutMs() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
}

void WaitLoop::RunReady(uint64_t id) {
  if (id == kWakeId) {
    eventfd_t ignored;
    eventfd_read(wake_.Get(), &ignored);
    return;
  }
  const auto found = readable_.find(id);
  if (found == readable_.end()) return;
  // A copy: the handler may end its own subscription.
  const auto ready = found->second;
  (*ready)();
}

void WaitLoop::RunTasks() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const Task& task : tasks) task();
}

void WaitLoop::RunDue() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    const auto due = timers_.begin()->second;
    timers_.erase(timers_.begin());
    (*due)();
  }
}

}  // namespace microvm::core
