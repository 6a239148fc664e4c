#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/handles.h"
#include "core/process_identity.h"
#include "core/result.h"
#include "core/wait/wait_loop.h"

namespace microvm::core {

// Where a wait stands: what it saw last.
enum class WaitStage {
  kNoSocket,      // there is no such file, or no such folder
  kRefused,       // the file is there, nobody listens, or no more connections fit
  kNoAnswer,      // accepted, but no byte came
  kClosed,        // accepted and closed without an answer
  kNoConnection,  // we listen, nobody has connected
};

// How it ended: a connected socket, or an error. ETIMEDOUT: the limit; ESRCH: the process is gone; ECANCELED.
struct WaitEnd {
  Result<UniqueFd> socket;
  WaitStage stage;
  int attempts;
};

struct WaitRequest {
  std::string path;
  // The process without which there is nothing to wait for.
  std::optional<ProcessIdentity> process;
  std::optional<std::chrono::milliseconds> limit;
};

// One wait for a socket. It lives on the loop's thread until it has ended and tells that once, there;
// `on_end` must not wait. What subscribes captures a shared reference, which Finish breaks.
class Wait : public std::enable_shared_from_this<Wait> {
 public:
  using OnEnd = std::function<void(WaitEnd)>;

  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  virtual ~Wait() = default;

  // Any thread, also after its end.
  void Cancel();

 protected:
  Wait(WaitLoop* loop, WaitRequest request, WaitStage stage, OnEnd on_end);
  // Takes up a new wait, from any thread.
  static std::shared_ptr<Wait> Take(std::shared_ptr<Wait> wait);

  // The first step.
  virtual void Start() = 0;
  // Ends every subscription and closes every descriptor.
  virtual void Release() = 0;
  // What is waited for, for errors.
  virtual const char* Syscall() const = 0;

  void Finish(Result<UniqueFd> socket);
  // With the stage in words.
  void FinishWith(int number);
  bool HasEnded() const { return on_end_ == nullptr; }

  WaitLoop* const loop_;
  const WaitRequest request_;
  WaitStage stage_;
  int attempts_ = 0;

 private:
  void Begin();
  void WatchProcess();

  OnEnd on_end_;
  const std::optional<WaitLoop::Clock::time_point> deadline_;
  UniqueFd pidfd_;
  Subscription exit_;
  Subscription limit_;
};

}  // namespace microvm::core
