#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/handles.h"
#include "core/process_wait.h"
#include "core/result.h"

namespace microvm::core {

// One process under watch. Owned by the reaper until it has ended or was let go; others hold shared
// references. Any thread.
class WatchedProcess {
 public:
  using OnEnd = std::function<void(const ProcessEnd&)>;

  // False when it is gone or was let go.
  Result<bool> Kill(int signal);
  // No more callback after this returns. A child is still reaped.
  void LetGo();

 private:
  friend class ProcessReaper;
  std::mutex mutex_;
  UniqueFd pidfd_;
  ProcessIdentity identity_;
  bool is_child_ = false;
  bool let_go_ = false;
  uint64_t id_ = 0;
  OnEnd on_end_;
};

// Waits for the ends of all processes on one epoll thread, which starts with the first watch. There is one
// per process, not one per JavaScript environment: children belong to the whole process and must be reaped
// when the worker that made them is gone.
class ProcessReaper {
 public:
  static ProcessReaper& Instance();

  // `on_end` runs once, on the reaper's thread, and must not wait. When it fails, a child has been killed and
  // reaped.
  Result<std::shared_ptr<WatchedProcess>> Watch(UniqueFd pidfd, ProcessIdentity identity, bool is_child,
                                                WatchedProcess::OnEnd on_end);

 private:
  friend class WatchedProcess;
  Status Start();
  Status Add(WatchedProcess* process);
  void Run();
  void Finish(uint64_t id);
  void Forget(uint64_t id);
  void StopPolling(int pidfd);

  std::mutex mutex_;
  UniqueFd epoll_;
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<WatchedProcess>> processes_;
};

}  // namespace microvm::core
