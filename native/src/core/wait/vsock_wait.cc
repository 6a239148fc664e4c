#include "core/wait/vsock_wait.h"

#include <sys/socket.h>

namespace microvm::core {
namespace {

constexpr size_t kMaxTries = 4;

}  // namespace

Result<std::shared_ptr<Wait>> VsockWait::Begin(WaitRequest request, uint32_t port, OnEnd on_end) {
  auto loop = WaitLoop::Started();
  if (!loop.Ok()) return loop.Error();
  return Take(std::make_shared<VsockWait>(loop.Value(), std::move(request), port, std::move(on_end)));
}

void VsockWait::OnConnected(UniqueFd socket) {
  if (stage_ != WaitStage::kClosed) stage_ = WaitStage::kNoAnswer;
  if (tries_.size() == kMaxTries) tries_.pop_front();
  const Position added = tries_.insert(tries_.end(), Try{std::move(socket), {}, {}});
  const int fd = added->socket.Get();
  const std::string line = "CONNECT " + std::to_string(port_) + "\n";
  // A new socket has room for a line. EPIPE: closed already, which the reading will tell, and what was said
  // before; whether we or the server are quicker makes no difference then.
  const ssize_t sent = RetryOnSignal([&] { return send(fd, line.data(), line.size(), MSG_NOSIGNAL); });
  if (sent != static_cast<ssize_t>(line.size()) && errno != EPIPE) return OnClosed(added);
  auto readable = loop_->WhenReadable(
      fd, [self = std::static_pointer_cast<VsockWait>(shared_from_this()), added] { self->Read(added); });
  if (!readable.Ok()) return Finish(readable.Error());
  added->readable = std::move(readable.Value());
  AwaitAnswer();
}

// Dead attempts stay in the server's queue until it accepts them, so a guest that does not come up for long
// fills it. Those of us that are in there already are still good.
void VsockWait::OnFull() {
  if (tries_.empty()) return SocketWait::OnFull();
  AwaitAnswer();
}

void VsockWait::AwaitAnswer() {
  silence_ = loop_->After(silent_.Next(), [self = std::static_pointer_cast<VsockWait>(shared_from_this())] {
    self->stage_ = WaitStage::kNoAnswer;
    self->closed_.Reset();
    self->Attempt();
  });
}

void VsockWait::Read(Position position) {
  char bytes[VsockReply::kMaxBytes];
  const int fd = position->socket.Get();
  // Only the answer is taken out of the socket: what follows it belongs to whom it is handed over.
  const ssize_t seen = RetryOnSignal([&] { return recv(fd, bytes, sizeof bytes, MSG_PEEK); });
  if (seen < 0 && errno == EAGAIN) return;
  if (seen <= 0) return OnClosed(position);
  VsockReply& reply = position->reply;
  const size_t taken = reply.Consume({bytes, static_cast<size_t>(seen)});
  if (reply.GetState() == VsockReply::State::kMalformed) {
    return Finish(SysError{EPROTO, "recv", request_.path, {}, "the answer is not Firecracker's"});
  }
  const ssize_t got = RetryOnSignal([&] { return recv(fd, bytes, taken, 0); });
  if (got != static_cast<ssize_t>(taken)) return OnClosed(position);
  if (reply.GetState() == VsockReply::State::kPartial) return;
  position->readable.End();
  Finish(std::move(position->socket));
}

void VsockWait::OnClosed(Position position) {
  tries_.erase(position);
  stage_ = WaitStage::kClosed;
  silent_.Reset();
  silence_.End();
  AttemptAfter(closed_.Next());
}

void VsockWait::Release() {
  SocketWait::Release();
  silence_.End();
  tries_.clear();
}

}  // namespace microvm::core
