#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <string>

#include "core/exit_end.h"
#include "core/result.h"

namespace microvm::core {

// One change of a folder that is to survive a power cut. Paths are absolute and normalised.
struct DurableChange {
  enum class Kind { kWrite, kRemove, kRename };
  Kind kind = Kind::kWrite;
  std::string path;
  std::string target;  // kRename: the new path
  std::string data;    // kWrite
  // Runs once, on one of the committer's threads, and must not wait.
  std::function<void(const Status&)> done;
};

// Makes changes durable, each on a thread that waits for the disk with it: the file system's journal takes
// the syncs that wait at the same time in one commit. Threads come as changes do, up to a limit, and never
// end. Changes that touch the same path, or a folder and something in it, take effect in the order in which
// they were submitted.
class DurableCommitter final : public EndsAtExit {
 public:
  static DurableCommitter& Instance();

  // Any thread. An error means that the change was not taken and `done` will not run.
  Status Submit(DurableChange change);

  // What has not begun never does; what has is carried through.
  void BeginEnd() override;
  bool AwaitEnd(Clock::time_point deadline) override;

 private:
  using Changes = std::list<DurableChange>;

  void Run();
  Changes::iterator TakeNext();
  bool MayTake() const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<DurableChange> pending_;
  Changes in_work_;
  int threads_ = 0;
  int idle_ = 0;
  bool is_ending_ = false;
};

}  // namespace microvm::core
