#include "file_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "unique_fd.h"

namespace microvm::agent {
namespace {

constexpr size_t kMaxWatches = 1024;
// As libuv.
constexpr uint32_t kMask = IN_ATTRIB | IN_CREATE | IN_MODIFY | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
                           IN_MOVED_FROM | IN_MOVED_TO;

enum class Change : uint8_t { kReady, kRename, kChange, kLagged };

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

std::string LastName(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return "/";
  const size_t slash = path.rfind('/', end);
  return path.substr(slash + 1, end - slash);
}

class Watcher {
 public:
  Watcher(const FileRequest& request, FileChannel* channel)
      : root_(request.path), is_recursive_(request.options != 0), channel_(channel) {}

  FileFailure Begin() {
    inotify_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_) return Failed("watch");
    struct stat found {};
    if (stat(root_.c_str(), &found) != 0) return Failed("watch");
    const bool is_folder = S_ISDIR(found.st_mode);
    if (const FileFailure failure = Add({}, 0)) return failure;
    return is_recursive_ && is_folder ? AddBelow({}, false) : Success();
  }

  bool Run() {
    if (!Tell(Change::kReady, {})) return false;
    for (;;) {
      pollfd entries[2] = {{inotify_.Get(), POLLIN, 0}, {0, POLLIN, 0}};
      if (poll(entries, 2, -1) < 0 && errno != EINTR) return false;
      // The host asks a worker that watches for nothing else: whatever comes is the end.
      if (entries[1].revents != 0) return true;
      if (entries[0].revents != 0 && !TellOfAll()) return false;
    }
  }

 private:
  // `below` is the folder's path from the root, empty for the root.
  FileFailure Add(const std::string& below, uint32_t flags) {
    if (folders_.size() >= kMaxWatches) return {ENOSPC, "watch", {}};
    const std::string path = below.empty() ? root_ : root_ + "/" + below;
    const int watch = inotify_add_watch(inotify_.Get(), path.c_str(), kMask | flags);
    if (watch < 0) return Failed("watch", below.empty() ? std::string() : path);
    folders_[watch] = below;
    return Success();
  }

  // All folders below one. What lies in a folder that is new is told of: it may have been made before the
  // watch was.
  FileFailure AddBelow(const std::string& top, bool is_new) {
    std::deque<std::string> waiting{top};
    while (!waiting.empty()) {
      const std::string below = std::move(waiting.front());
      waiting.pop_front();
      const std::string path = below.empty() ? root_ : root_ + "/" + below;
      const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      const std::unique_ptr<DIR, CloseFolder> folder(fd < 0 ? nullptr : fdopendir(fd));
      if (!folder) continue;  // It is gone again, or nobody of this user may look into it.
      while (const dirent* entry = readdir(folder.get())) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        const std::string inner = below.empty() ? name : below + "/" + name;
        if (inner.size() > kMaxFilePath) continue;
        if (is_new && !Tell(Change::kRename, inner)) return Success();
        struct stat found {};
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(found.st_mode)) continue;
        const FileFailure failure = Add(inner, IN_ONLYDIR | IN_DONT_FOLLOW);
        if (failure && failure.error == ENOSPC) return failure;
        if (!failure) waiting.push_back(inner);
      }
    }
    return Success();
  }

  bool TellOfAll() {
    alignas(inotify_event) char buffer[16 * (sizeof(inotify_event) + NAME_MAX + 1)];
    for (;;) {
      const ssize_t got = read(inotify_.Get(), buffer, sizeof(buffer));
      if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
      for (const char* at = buffer; at < buffer + got;) {
        // SAFETY: the kernel writes whole events, aligned as the buffer is.
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        if (!TellOf(*event)) return false;
        at += sizeof(inotify_event) + event->len;
      }
    }
  }

  bool TellOf(const inotify_event& event) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) return Tell(Change::kLagged, {});
    const auto found = folders_.find(event.wd);
    if (found == folders_.end()) return true;
    const std::string below = found->second;
    if ((event.mask & IN_IGNORED) != 0) {
      folders_.erase(found);
      return true;
    }
    const bool is_root_itself = event.len == 0 && below.empty();
    // A folder below is told of by the one that it lies in.
    if (event.len == 0 && !is_root_itself) return true;
    std::string name = is_root_itself ? LastName(root_) : event.name;
    if (!below.empty()) name = below + "/" + name;
    if (name.size() > kMaxFilePath) return Tell(Change::kLagged, {});
    const bool is_change = (event.mask & ~(IN_ATTRIB | IN_MODIFY | IN_ISDIR)) == 0;
    if (!Tell(is_change ? Change::kChange : Change::kRename, name)) return false;
    const bool is_new_folder = (event.mask & IN_ISDIR) != 0 && (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0;
    if (!is_recursive_ || !is_new_folder) return true;
    const FileFailure failure = Add(name, IN_ONLYDIR | IN_DONT_FOLLOW);
    const FileFailure deeper = failure ? failure : AddBelow(name, true);
    return deeper.error != ENOSPC || Tell(Change::kLagged, {});
  }

  bool Tell(Change change, const std::string& name) {
    PayloadWriter out;
    return channel_->Send(FileAnswer::kEvent,
                          out.U8(static_cast<uint8_t>(change)).Text(name, kMaxFilePath).bytes());
  }

  std::string root_;
  bool is_recursive_;
  FileChannel* channel_;
  UniqueFd inotify_;
  std::map<int, std::string> folders_;
};

}  // namespace

bool WatchPath(const FileRequest& request, FileChannel* channel) {
  Watcher watcher(request, channel);
  if (const FileFailure failure = watcher.Begin()) return channel->Answer(failure);
  return watcher.Run() && channel->Answer({});
}

}  // namespace microvm::agent
