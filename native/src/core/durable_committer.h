#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/exit_end.h"
#include "core/handles.h"
#include "core/result.h"
#include "core/unpublished_file.h"

namespace microvm::core {

// One change of a folder that is to survive a power cut. Paths are absolute and normalised.
struct DurableChange {
  enum class Kind { kWrite, kRemove, kRename, kPublish };
  Kind kind = Kind::kWrite;
  std::string path;
  std::string target;  // kRename: the new path
  std::string data;    // kWrite
  // kWrite: the file that was replaced stays beside it, as `.spare-<name>`, and is the one that is written
  // next time: what is replaced again and again then costs the file system no new file each time.
  bool keep_spare = false;
  // kPublish: the file that gets the name `path`.
  std::unique_ptr<UnpublishedFile> unpublished = nullptr;
  // kRename: the renamed file itself, which is flushed first. Empty: the name alone is made durable.
  UniqueFd content = {};
  // kRename, kPublish. False: EEXIST when something has the new name.
  bool replaces = true;
  // Runs once, on one of the committer's threads, and must not wait.
  std::function<void(const Status&)> done;
};

// Makes changes durable. A thread takes all that wait, up to a limit, and carries them out together; what
// comes meanwhile waits for the next thread, so that a burst costs the disk few commits and the processors
// few turns. Changes that touch the same path, or a folder and something in it, take effect in the order in
// which they were submitted.
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
  using Batch = std::vector<Changes::iterator>;

  void Run();
  Batch TakeBatch();
  void End(Changes::iterator change, const Status& status);
  // With the lock held.
  bool MayTake() const;
  Status CallThread();

  std::mutex mutex_;
  std::condition_variable called_;
  std::condition_variable ended_;
  Changes pending_;
  Changes in_work_;
  int threads_ = 0;
  int idle_ = 0;
  // A thread is on its way to what is pending.
  bool is_called_ = false;
  bool is_ending_ = false;
};

}  // namespace microvm::core
