#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/wait/wait_loop.h"

namespace microvm::core {

// The changes of folders, by one inotify instance for the whole process (the kernel allows a user only 128).
// On the loop's thread.
class FolderWatches {
 public:
  explicit FolderWatches(WaitLoop* loop) : loop_(loop) {}
  static FolderWatches& Of(WaitLoop* loop);

  // Calls `changed` when something of this name is made in the folder or moved into it, and when the folder
  // itself goes away. The descriptor may be closed afterwards. ENOSPC: the user has no watches left.
  Result<Subscription> Watch(int folder, const std::string& name, std::function<void()> changed);

 private:
  struct Watcher {
    std::string name;
    std::shared_ptr<const std::function<void()>> changed;
  };
  using Watchers = std::map<uint64_t, Watcher>;

  Status Start();
  void Read();
  // An empty name: all watchers of the folder.
  void Report(int descriptor, const std::string& name);
  void Forget(int descriptor, uint64_t id);

  WaitLoop* const loop_;
  UniqueFd inotify_;
  Subscription readable_;
  uint64_t last_id_ = 0;
  std::unordered_map<int, Watchers> folders_;  // by watch descriptor
};

}  // namespace microvm::core
