#include "core/durable_committer.h"

#include <memory>
#include <unordered_set>

#include "core/durable_group.h"
#include "core/file_io.h"
#include "core/thread.h"

namespace microvm::core {
namespace {

// Bounds the open files of a group.
constexpr size_t kMaxGroup = 256;

// Which paths a group touches, and all folders above them.
class PathSet {
 public:
  // False when the path is one of the group's, above or below one of them.
  bool IsFree(const std::string& path) const {
    if (paths_.count(path) != 0 || above_.count(path) != 0) return false;
    for (std::string up = Split(path).directory; up.size() > 1; up = Split(up).directory) {
      if (paths_.count(up) != 0) return false;
    }
    return true;
  }

  void Add(const std::string& path) {
    paths_.insert(path);
    for (std::string up = Split(path).directory; up.size() > 1; up = Split(up).directory) {
      if (!above_.insert(up).second) return;
    }
  }

 private:
  std::unordered_set<std::string> paths_;
  std::unordered_set<std::string> above_;
};

}  // namespace

DurableCommitter& DurableCommitter::Instance() {
  // Never destroyed: its threads may run until the very end of the process.
  static DurableCommitter* const kInstance = std::make_unique<DurableCommitter>().release();
  return *kInstance;
}

Status DurableCommitter::Submit(DurableChange change) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_started_) {
      auto started = StartThread("mvm-commit", [this] { Run(); });
      if (!started.Ok()) return started;
      is_started_ = true;
    }
    pending_.push_back(std::move(change));
  }
  added_.notify_one();
  return {};
}

void DurableCommitter::Run() {
  while (true) DurableGroup(TakeGroup()).Commit(&disks_);
}

std::vector<DurableChange> DurableCommitter::TakeGroup() {
  std::unique_lock lock(mutex_);
  added_.wait(lock, [this] { return !pending_.empty(); });
  std::vector<DurableChange> group;
  PathSet touched;
  while (!pending_.empty() && group.size() < kMaxGroup) {
    const DurableChange& next = pending_.front();
    const bool is_rename = next.kind == DurableChange::Kind::kRename;
    if (!touched.IsFree(next.path) || (is_rename && !touched.IsFree(next.target))) break;
    touched.Add(next.path);
    if (is_rename) touched.Add(next.target);
    group.push_back(std::move(pending_.front()));
    pending_.pop_front();
  }
  return group;
}

}  // namespace microvm::core
