#include "core/durable_committer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/durable_commit.h"
#include "core/thread.h"

namespace microvm::core {
namespace {

// Beyond it more threads make a burst no faster.
constexpr int kMaxThreads = 32;

// The same path, or one above the other.
bool Touch(const std::string& a, const std::string& b) {
  const auto& [shorter, longer] = std::minmax(a, b, [](auto& x, auto& y) { return x.size() < y.size(); });
  if (longer.compare(0, shorter.size(), shorter) != 0) return false;
  return longer.size() == shorter.size() || longer[shorter.size()] == '/';
}

bool Touch(const DurableChange& a, const DurableChange& b) {
  const auto touches = [&b](const std::string& path) {
    return Touch(path, b.path) || (b.kind == DurableChange::Kind::kRename && Touch(path, b.target));
  };
  return touches(a.path) || (a.kind == DurableChange::Kind::kRename && touches(a.target));
}

const std::shared_ptr<DurableCommitter>* NewCommitter() {
  auto committer = std::make_unique<std::shared_ptr<DurableCommitter>>(std::make_shared<DurableCommitter>());
  EndAtExit(*committer);
  return committer.release();
}

}  // namespace

DurableCommitter& DurableCommitter::Instance() {
  // Never destroyed: its threads may run until the very end of the process.
  static const auto* const kInstance = NewCommitter();
  return **kInstance;
}

Status DurableCommitter::Submit(DurableChange change) {
  {
    const std::lock_guard lock(mutex_);
    // A thread that was told of a change may not have taken it yet.
    if (static_cast<size_t>(idle_) <= pending_.size() && threads_ < kMaxThreads) {
      auto started = StartThread("mvm-commit", [this] { Run(); });
      // Fewer are slower, not wrong.
      if (!started.Ok() && threads_ == 0) return started;
      if (started.Ok()) ++threads_;
    }
    pending_.push_back(std::move(change));
  }
  changed_.notify_one();
  return {};
}

void DurableCommitter::BeginEnd() {
  const std::lock_guard lock(mutex_);
  is_ending_ = true;
}

bool DurableCommitter::AwaitEnd(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [this] { return in_work_.empty(); });
}

void DurableCommitter::Run() {
  while (true) {
    const auto change = TakeNext();
    change->done(CommitDurably(*change));
    const std::lock_guard lock(mutex_);
    // What waited for this one's path is taken by this thread.
    in_work_.erase(change);
    if (is_ending_) changed_.notify_all();
  }
}

DurableCommitter::Changes::iterator DurableCommitter::TakeNext() {
  std::unique_lock lock(mutex_);
  ++idle_;
  changed_.wait(lock, [this] { return MayTake(); });
  --idle_;
  in_work_.push_back(std::move(pending_.front()));
  pending_.pop_front();
  const auto taken = std::prev(in_work_.end());
  // Whoever was told of this one may have been told of the next as well.
  if (MayTake()) changed_.notify_one();
  return taken;
}

bool DurableCommitter::MayTake() const {
  if (is_ending_ || pending_.empty()) return false;
  const DurableChange& next = pending_.front();
  return std::none_of(in_work_.begin(), in_work_.end(),
                      [&next](const DurableChange& other) { return Touch(next, other); });
}

}  // namespace microvm::core
