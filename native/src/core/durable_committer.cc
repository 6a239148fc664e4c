#include "core/durable_committer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/durable_commit.h"
#include "core/thread.h"

namespace microvm::core {
namespace {

// While one batch waits for the disk others are written. Beyond this a burst gets no faster.
constexpr int kMaxThreads = 4;
constexpr size_t kMaxBatch = 16;

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
  const std::lock_guard lock(mutex_);
  pending_.push_back(std::move(change));
  auto called = CallThread();
  // The threads that there are will come to it.
  if (called.Ok() || threads_ > 0) return {};
  pending_.pop_back();
  return called;
}

void DurableCommitter::BeginEnd() {
  const std::lock_guard lock(mutex_);
  is_ending_ = true;
}

bool DurableCommitter::AwaitEnd(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return ended_.wait_until(lock, deadline, [this] { return in_work_.empty(); });
}

void DurableCommitter::Run() {
  while (true) {
    const Batch batch = TakeBatch();
    std::vector<const DurableChange*> changes;
    changes.reserve(batch.size());
    for (const auto& change : batch) changes.push_back(&*change);
    CommitDurably(changes, [&](size_t index, const Status& status) { End(batch[index], status); });
  }
}

DurableCommitter::Batch DurableCommitter::TakeBatch() {
  std::unique_lock lock(mutex_);
  while (!MayTake()) {
    ++idle_;
    is_called_ = false;
    called_.wait(lock);
    --idle_;
  }
  is_called_ = false;
  Batch batch;
  while (batch.size() < kMaxBatch && MayTake()) {
    in_work_.splice(in_work_.end(), pending_, pending_.begin());
    batch.push_back(std::prev(in_work_.end()));
  }
  // Another thread for what this one leaves; where none can be had it comes back itself.
  static_cast<void>(CallThread());
  return batch;
}

void DurableCommitter::End(Changes::iterator change, const Status& status) {
  const auto done = std::move(change->done);
  {
    const std::lock_guard lock(mutex_);
    in_work_.erase(change);
    if (is_ending_) ended_.notify_all();
    // Something may have waited for its path.
    static_cast<void>(CallThread());
  }
  done(status);
}

bool DurableCommitter::MayTake() const {
  if (is_ending_ || pending_.empty()) return false;
  const DurableChange& next = pending_.front();
  return std::none_of(in_work_.begin(), in_work_.end(),
                      [&next](const DurableChange& other) { return Touch(next, other); });
}

// One at a time: it takes all that there is by then.
Status DurableCommitter::CallThread() {
  if (is_called_ || !MayTake()) return {};
  if (idle_ > 0) {
    is_called_ = true;
    called_.notify_one();
    return {};
  }
  if (threads_ == kMaxThreads) return {};
  auto started = StartThread("mvm-commit", [this] { Run(); });
  if (!started.Ok()) return started;
  is_called_ = true;
  ++threads_;
  return {};
}

}  // namespace microvm::core
