#include "core/wait/folder_watch.h"

#include <sys/inotify.h>

#include <cstring>
#include <vector>

namespace microvm::core {
namespace {

// IN_MASK_ADD is not needed: the mask of a folder is always the same.
constexpr uint32_t kMade = IN_CREATE | IN_MOVED_TO;
constexpr uint32_t kGone = IN_DELETE_SELF | IN_MOVE_SELF;
constexpr size_t kBufferBytes = 16 * 1024;

}  // namespace

FolderWatches& FolderWatches::Of(WaitLoop* loop) {
  // Never destroyed, like the loop.
  static FolderWatches* const kInstance = std::make_unique<FolderWatches>(loop).release();
  return *kInstance;
}

Status FolderWatches::Start() {
  if (inotify_) return {};
  UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify) return SysError::Last("inotify_init1");
  auto readable = loop_->WhenReadable(inotify.Get(), [this] { Read(); });
  if (!readable.Ok()) return readable.Error();
  inotify_ = std::move(inotify);
  readable_ = std::move(readable.Value());
  return {};
}

Result<Subscription> FolderWatches::Watch(int folder, const std::string& name,
                                          std::function<void()> changed) {
  auto started = Start();
  if (!started.Ok()) return started.Error();
  // Through its descriptor: a path of any length, and the folder that was looked into.
  const std::string path = "/proc/self/fd/" + std::to_string(folder);
  const int descriptor = inotify_add_watch(inotify_.Get(), path.c_str(), kMade | kGone | IN_ONLYDIR);
  if (descriptor < 0) return SysError::Last("inotify_add_watch");
  const uint64_t id = ++last_id_;
  auto shared = std::make_shared<const std::function<void()>>(std::move(changed));
  // All watchers of one folder have the same descriptor.
  folders_[descriptor].emplace(id, Watcher{name, std::move(shared)});
  return Subscription([this, descriptor, id] { Forget(descriptor, id); });
}

void FolderWatches::Read() {
  alignas(inotify_event) char buffer[kBufferBytes];
  while (true) {
    const ssize_t got = RetryOnSignal([&] { return read(inotify_.Get(), buffer, sizeof buffer); });
    if (got <= 0) return;
    for (size_t at = 0; at < static_cast<size_t>(got);) {
      inotify_event event;
      memcpy(&event, buffer + at, sizeof event);
      const std::string name = event.len > 0 ? std::string(buffer + at + sizeof event) : std::string();
      at += sizeof event + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        std::vector<int> all;
        for (const auto& [descriptor, watchers] : folders_) all.push_back(descriptor);
        for (const int descriptor : all) Report(descriptor, {});
      } else {
        Report(event.wd, (event.mask & kMade) != 0 ? name : std::string());
        if ((event.mask & IN_IGNORED) != 0) folders_.erase(event.wd);
      }
    }
  }
}

void FolderWatches::Report(int descriptor, const std::string& name) {
  const auto folder = folders_.find(descriptor);
  if (folder == folders_.end()) return;
  std::vector<uint64_t> ids;
  for (const auto& [id, watcher] : folder->second) {
    if (name.empty() || watcher.name == name) ids.push_back(id);
  }
  // Looked up again each time: what is called may end other subscriptions.
  for (const uint64_t id : ids) {
    const auto again = folders_.find(descriptor);
    if (again == folders_.end()) return;
    const auto watcher = again->second.find(id);
    if (watcher == again->second.end()) continue;
    const auto changed = watcher->second.changed;
    (*changed)();
  }
}

void FolderWatches::Forget(int descriptor, uint64_t id) {
  const auto folder = folders_.find(descriptor);
  if (folder == folders_.end()) return;
  folder->second.erase(id);
  if (!folder->second.empty()) return;
  folders_.erase(folder);
  inotify_rm_watch(inotify_.Get(), descriptor);
}

}  // namespace microvm::core
