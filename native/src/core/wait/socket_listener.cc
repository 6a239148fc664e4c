#include "core/wait/socket_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace microvm::core {
Status SocketListener::Open(const std::string& path, const ListenOptions& options, OnOpen on_open) {
  auto loop = WaitLoop::Started();
  if (!loop.Ok()) return loop.Error();
  auto listener = std::make_shared<SocketListener>(loop.Value(), path);
  loop.Value()->Post([listener, options, on_open = std::move(on_open)] {
    auto listening = listener->Listen(options);
    if (!listening.Ok()) return on_open(listening.Error());
    on_open(listener);
  });
  return {};
}

Status SocketListener::Listen(const ListenOptions& options) {
  auto socket = ListenUnix(path_, options);
  if (!socket.Ok()) return socket.Error();
  struct stat status {};
  if (lstat(path_.c_str(), &status) != 0) return SysError::Last("stat", path_);
  file_ = {status.st_dev, status.st_ino};
  socket_ = std::move(socket.Value());
  return {};
}

void SocketListener::Close(std::function<void()> on_closed) {
  loop_->Post([self = shared_from_this(), on_closed = std::move(on_closed)] {
    self->CloseNow();
    on_closed();
  });
}

void SocketListener::CloseNow() {
  struct stat status {};
  const bool is_ours =
      socket_ && lstat(path_.c_str(), &status) == 0 && std::make_pair(status.st_dev, status.st_ino) == file_;
  if (is_ours) unlink(path_.c_str());
  socket_.Reset();
  const auto waits = std::exchange(waits_, {});
  for (const auto& [id, weak] : waits) {
    // SAFETY (of the cast): only an AcceptWait puts itself there.
    if (auto wait = std::static_pointer_cast<AcceptWait>(weak.lock()))
      wait->Finish(AcceptWait::ClosedError(path_));
  }
}

SysError AcceptWait::ClosedError(const std::string& path) {
  return SysError{EBADF, "accept", path, {}, "the listener was closed"};
}

std::shared_ptr<Wait> AcceptWait::Begin(std::shared_ptr<SocketListener> listener, WaitRequest request,
                                        OnEnd on_end) {
  return Take(std::make_shared<AcceptWait>(std::move(listener), std::move(request), std::move(on_end)));
}

AcceptWait::AcceptWait(std::shared_ptr<SocketListener> listener, WaitRequest request, OnEnd on_end)
    : Wait(listener->loop_, std::move(request), WaitStage::kNoConnection, std::move(on_end)),
      listener_(std::move(listener)) {}

void AcceptWait::Start() {
  if (!listener_->socket_) return Finish(ClosedError(request_.path));
  // A copy, since epoll takes a descriptor only once and there may be several waits.
  socket_ = UniqueFd(fcntl(listener_->socket_.Get(), F_DUPFD_CLOEXEC, 0));
  if (!socket_) return Finish(SysError::Last("fcntl", request_.path));
  id_ = ++listener_->last_id_;
  listener_->waits_.emplace(id_, weak_from_this());
  auto readable = loop_->WhenReadable(
      socket_.Get(), [self = std::static_pointer_cast<AcceptWait>(shared_from_this())] { self->Accept(); });
  if (!readable.Ok()) return Finish(readable.Error());
  readable_ = std::move(readable.Value());
  Accept();
}

void AcceptWait::Accept() {
  UniqueFd socket(
      RetryOnSignal([&] { return accept4(socket_.Get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }));
  if (socket) return Finish(std::move(socket));
  if (errno != EAGAIN && errno != ECONNABORTED) Finish(SysError::Last("accept", request_.path));
}

void AcceptWait::Release() {
  listener_->waits_.erase(id_);
  readable_.End();
  socket_.Reset();
}

}  // namespace microvm::core
