#pragma once

#include <chrono>
#include <memory>

namespace microvm::core {

// Work on threads of ours that would leave something half-made if the process ended in its middle.
class EndsAtExit {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~EndsAtExit() = default;
  // Lets nothing more begin and asks what has begun to end early. Must not wait. Any thread.
  virtual void BeginEnd() = 0;
  // Waits until all has ended; false when it had not by then.
  virtual bool AwaitEnd(Clock::time_point deadline) = 0;
};

// From now on exit(3) ends this work, if it is still there, before the process goes. All together are given
// five seconds: what hangs, such as a sync to a dead server, must not make an exit hang. Any thread.
void EndAtExit(const std::shared_ptr<EndsAtExit>& work);

}  // namespace microvm::core
