#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "core/result.h"

namespace microvm::core {

// One change of a folder that is to survive a power cut. Paths are absolute and normalised.
struct DurableChange {
  enum class Kind { kWrite, kRemove, kRename };
  Kind kind = Kind::kWrite;
  std::string path;
  std::string target;  // kRename: the new path
  std::string data;    // kWrite
  // Runs once, on the committer's thread, and must not wait.
  std::function<void(const Status&)> done;
};

// Makes changes durable in groups: all that is pending is written and synced together, so that many changes
// share the journal commits of the file system. One thread per process, started with the first change.
// Changes that touch the same path, or a folder and something in it, take effect in the order in which they
// were submitted.
class DurableCommitter {
 public:
  static DurableCommitter& Instance();

  // Any thread. An error means that the change was not taken and `done` will not run.
  Status Submit(DurableChange change);

 private:
  void Run();
  std::vector<DurableChange> TakeGroup();

  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<DurableChange> pending_;
  bool is_started_ = false;
  // Used by the committer's thread alone.
  ParallelRunner disks_{15};
};

}  // namespace microvm::core
