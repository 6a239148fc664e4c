#include "core/exit_end.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace microvm::core {
namespace {

constexpr std::chrono::seconds kPatience(5);

void EndAll();

// All that there is to end, of all JavaScript environments.
class Registry {
 public:
  static Registry& Instance() {
    // Never destroyed: threads may come here until the very end of the process.
    static Registry* const kInstance = std::make_unique<Registry>().release();
    return *kInstance;
  }

  // Should it fail, an exit is what it would be without us: like a crash.
  Registry() : pid_(getpid()) { static_cast<void>(atexit(EndAll)); }

  void Add(const std::shared_ptr<EndsAtExit>& work) {
    const std::lock_guard lock(mutex_);
    const auto is_gone = [](const std::weak_ptr<EndsAtExit>& other) { return other.expired(); };
    works_.erase(std::remove_if(works_.begin(), works_.end(), is_gone), works_.end());
    works_.push_back(work);
  }

  std::vector<std::shared_ptr<EndsAtExit>> Living() {
    // A fork has none of our threads, but their locks as they were.
    if (getpid() != pid_) return {};
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<EndsAtExit>> living;
    for (const auto& work : works_) {
      if (auto alive = work.lock()) living.push_back(std::move(alive));
    }
    return living;
  }

 private:
  const pid_t pid_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<EndsAtExit>> works_;
};

void EndAll() {
  const auto deadline = EndsAtExit::Clock::now() + kPatience;
  const auto living = Registry::Instance().Living();
  for (const auto& work : living) work->BeginEnd();
  for (const auto& work : living) static_cast<void>(work->AwaitEnd(deadline));
}

}  // namespace

void EndAtExit(const std::shared_ptr<EndsAtExit>& work) { Registry::Instance().Add(work); }

}  // namespace microvm::core
