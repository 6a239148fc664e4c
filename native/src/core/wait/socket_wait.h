#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/wait/wait.h"

namespace microvm::core {

// Delays that double up to a limit.
class Backoff {
 public:
  constexpr Backoff(std::chrono::milliseconds first, std::chrono::milliseconds limit)
      : first_(first), limit_(limit), next_(first) {}
  std::chrono::milliseconds Next() { return std::exchange(next_, std::min(next_ * 2, limit_)); }
  void Reset() { next_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds limit_;
  std::chrono::milliseconds next_;
};

// Waits until a unix socket takes connections. While there is none the folder is watched, or the deepest one
// of the path that there is; once it is there and refuses, tried again after 1, 2, 4… 50 ms, since no event
// tells of listen(2).
class SocketWait : public Wait {
 public:
  static Result<std::shared_ptr<Wait>> Begin(WaitRequest request, OnEnd on_end);

  SocketWait(WaitLoop* loop, WaitRequest request, OnEnd on_end)
      : Wait(loop, std::move(request), WaitStage::kNoSocket, std::move(on_end)) {}

 protected:
  void Start() override { Attempt(); }
  void Release() override;
  const char* Syscall() const override { return "connect"; }

  virtual void OnConnected(UniqueFd socket) { Finish(std::move(socket)); }
  // No more connections fit into the server's queue.
  virtual void OnFull() { OnRefused(); }

  void Attempt();
  void AttemptAfter(std::chrono::milliseconds delay);

 private:
  void OnRefused();
  void OnAbsent();

  Backoff refused_{std::chrono::milliseconds(1), std::chrono::milliseconds(50)};
  // Only where folders cannot be watched.
  Backoff unwatched_{std::chrono::milliseconds(5), std::chrono::milliseconds(100)};
  Subscription next_;
  // While nothing is there: the folder that is watched.
  Subscription folder_;
  std::pair<dev_t, ino_t> folder_identity_{};
};

}  // namespace microvm::core
