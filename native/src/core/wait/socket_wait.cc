#include "core/wait/socket_wait.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/file_io.h"
#include "core/unix_socket.h"
#include "core/wait/folder_watch.h"

namespace microvm::core {
namespace {

using std::chrono::milliseconds;

// Where a path ends: the deepest folder that there is, and the name that is missing in it.
struct Gap {
  UniqueFd folder;
  std::pair<dev_t, ino_t> identity;
  std::string name;
};

Result<Gap> FindGap(const std::string& path) {
  SplitPath split = Split(path);
  while (true) {
    auto folder = OpenFile(split.directory, O_PATH | O_DIRECTORY);
    const bool is_missing = !folder.Ok() && folder.Error().number == ENOENT && split.directory != "/";
    if (is_missing) {
      split = Split(split.directory);
      continue;
    }
    if (!folder.Ok()) return folder.Error();
    struct stat status {};
    if (fstat(folder.Value().Get(), &status) != 0) return SysError::Last("fstat", split.directory);
    return Gap{std::move(folder.Value()), {status.st_dev, status.st_ino}, std::move(split.name)};
  }
}

}  // namespace

Result<std::shared_ptr<Wait>> SocketWait::Begin(WaitRequest request, OnEnd on_end) {
  auto loop = WaitLoop::Started();
  if (!loop.Ok()) return loop.Error();
  return Take(std::make_shared<SocketWait>(loop.Value(), std::move(request), std::move(on_end)));
}

void SocketWait::Attempt() {
  next_.End();
  auto socket = ConnectUnix(request_.path, LastLink::kRefuse);
  if (!socket.Ok() && socket.Error().number == ENOENT) return OnAbsent();
  ++attempts_;
  folder_.End();
  if (socket.Ok()) return OnConnected(std::move(socket.Value()));
  if (socket.Error().number == ECONNREFUSED) return OnRefused();
  if (socket.Error().number == EAGAIN) return OnFull();
  Finish(socket.Error());
}

void SocketWait::AttemptAfter(milliseconds delay) {
  // SAFETY (of the cast, here and below): we are what our base shares.
  next_ = loop_->After(
      delay, [self = std::static_pointer_cast<SocketWait>(shared_from_this())] { self->Attempt(); });
}

void SocketWait::OnRefused() {
  stage_ = WaitStage::kRefused;
  AttemptAfter(refused_.Next());
}

void SocketWait::OnAbsent() {
  stage_ = WaitStage::kNoSocket;
  refused_.Reset();
  auto gap = FindGap(request_.path);
  if (!gap.Ok()) return Finish(gap.Error());
  if (folder_ && folder_identity_ == gap.Value().identity) return;
  auto watched =
      FolderWatches::Of(loop_).Watch(gap.Value().folder.Get(), gap.Value().name,
                                     [self = std::static_pointer_cast<SocketWait>(shared_from_this())] {
                                       // A folder that went and came again may look the same: watch anew.
                                       self->folder_.End();
                                       self->Attempt();
                                     });
  if (!watched.Ok()) return AttemptAfter(unwatched_.Next());
  folder_ = std::move(watched.Value());
  folder_identity_ = gap.Value().identity;
  // What came before the watch began told nobody: look once more.
  AttemptAfter(milliseconds(0));
}

void SocketWait::Release() {
  next_.End();
  folder_.End();
}

}  // namespace microvm::core
