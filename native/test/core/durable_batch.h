#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/durable_committer.h"

namespace microvm::test {

// Submits durable changes and waits for their outcomes.
class DurableBatch {
 public:
  using Kind = core::DurableChange::Kind;

  void Add(Kind kind, const std::string& path, const std::string& data_or_target = {}) {
    core::DurableChange change;
    change.kind = kind;
    change.path = path;
    (kind == Kind::kRename ? change.target : change.data) = data_or_target;
    Submit(std::move(change));
  }

  // A write of what is written again and again.
  void Rewrite(const std::string& path, const std::string& data) {
    core::DurableChange change;
    change.path = path;
    change.data = data;
    change.keep_spare = true;
    Submit(std::move(change));
  }

  void Submit(core::DurableChange change) {
    const size_t index = submitted_++;
    change.done = [this, index](const core::Status& status) {
      const std::lock_guard lock(mutex_);
      outcomes_[index] = status;
      changed_.notify_all();
    };
    CHECK(core::DurableCommitter::Instance().Submit(std::move(change)).Ok());
  }

  // 0 or the error number of each change.
  std::vector<int> Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcomes_.size() == submitted_; });
    std::vector<int> numbers;
    for (const auto& [index, status] : outcomes_) numbers.push_back(status.Ok() ? 0 : status.Error().number);
    return numbers;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t submitted_ = 0;
  std::map<size_t, core::Status> outcomes_;
};

}  // namespace microvm::test
