#include "core/process_reaper.h"

#include <sys/epoll.h>

#include "core/thread.h"

namespace microvm::core {

Result<bool> WatchedProcess::Kill(int signal) {
  const std::lock_guard lock(mutex_);
  if (let_go_ || !pidfd_) return false;
  return SendSignal(pidfd_.Get(), signal);
}

void WatchedProcess::LetGo() {
  OnEnd dropped;
  {
    const std::lock_guard lock(mutex_);
    let_go_ = true;
    dropped = std::move(on_end_);
    on_end_ = nullptr;
    if (is_child_ || !pidfd_) return;
    ProcessReaper::Instance().StopPolling(pidfd_.Get());
    pidfd_.Reset();
  }
  ProcessReaper::Instance().Forget(id_);
}

ProcessReaper& ProcessReaper::Instance() {
  // Never destroyed: its thread may run until the very end of the process.
  static ProcessReaper* const kInstance = std::make_unique<ProcessReaper>().release();
  return *kInstance;
}

Status ProcessReaper::Start() {
  if (epoll_) return {};
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return SysError::Last("epoll_create1");
  epoll_ = std::move(epoll);
  auto started = StartThread("mvm-reaper", [this] { Run(); });
  if (!started.Ok()) epoll_.Reset();
  return started;
}

Result<std::shared_ptr<WatchedProcess>> ProcessReaper::Watch(UniqueFd pidfd, ProcessIdentity identity,
                                                             bool is_child, WatchedProcess::OnEnd on_end) {
  auto process = std::make_shared<WatchedProcess>();
  process->pidfd_ = std::move(pidfd);
  process->identity_ = std::move(identity);
  process->is_child_ = is_child;
  process->on_end_ = std::move(on_end);
  const std::lock_guard lock(mutex_);
  auto added = Add(process.get());
  if (!added.Ok()) {
    if (is_child) KillAndReap(process->pidfd_.Get());
    return added.Error();
  }
  processes_.emplace(process->id_, process);
  return process;
}

Status ProcessReaper::Add(WatchedProcess* process) {
  auto started = Start();
  if (!started.Ok()) return started;
  process->id_ = ++last_id_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = process->id_;
  if (epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, process->pidfd_.Get(), &event) != 0)
    return SysError::Last("epoll_ctl");
  return {};
}

void ProcessReaper::Run() {
  while (true) {
    epoll_event events[64];
    const int count = RetryOnSignal([&] { return epoll_wait(epoll_.Get(), events, 64, -1); });
    for (int i = 0; i < count; ++i) Finish(events[i].data.u64);
  }
}

void ProcessReaper::Finish(uint64_t id) {
  std::shared_ptr<WatchedProcess> process;
  {
    const std::lock_guard lock(mutex_);
    const auto found = processes_.find(id);
    if (found == processes_.end()) return;
    process = std::move(found->second);
    processes_.erase(found);
  }
  const std::lock_guard lock(process->mutex_);
  if (!process->pidfd_) return;
  const int pidfd = process->pidfd_.Get();
  const ProcessEnd end = process->is_child_ ? WaitForChild(pidfd) : InspectEnd(pidfd, process->identity_);
  StopPolling(pidfd);
  process->pidfd_.Reset();
  if (process->on_end_) process->on_end_(end);
  process->on_end_ = nullptr;
}

// A close is not enough: a child being made at this moment may hold a copy, which keeps the entry alive.
void ProcessReaper::StopPolling(int pidfd) { epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, pidfd, nullptr); }

void ProcessReaper::Forget(uint64_t id) {
  const std::lock_guard lock(mutex_);
  processes_.erase(id);
}

}  // namespace microvm::core
