#pragma once

#include <list>

#include "core/wait/socket_wait.h"
#include "core/wait/vsock_reply.h"

namespace microvm::core {

// Waits until a port of the guest answers on Firecracker's vsock socket. After the socket itself is there
// (see SocketWait) two things can happen, each tried again by its own rule:
// - no answer: the guest's driver is not up, or the VM is paused. An attempt may have been lost, but it may
//   also be answered as soon as the guest is there, so further ones overlap with it: after 100, 200, 400… 500
//   ms, up to four at once; the oldest gives way.
// - closed at once: the guest is there, nobody listens. Tried again after 2, 4, 8… 50 ms.
class VsockWait final : public SocketWait {
 public:
  static Result<std::shared_ptr<Wait>> Begin(WaitRequest request, uint32_t port, OnEnd on_end);

  VsockWait(WaitLoop* loop, WaitRequest request, uint32_t port, OnEnd on_end)
      : SocketWait(loop, std::move(request), std::move(on_end)), port_(port) {}

 protected:
  void OnConnected(UniqueFd socket) override;
  void OnFull() override;
  void Release() override;

 private:
  struct Try {
    UniqueFd socket;
    VsockReply reply;
    Subscription readable;  // ends before the socket is closed
  };
  using Position = std::list<Try>::iterator;

  void Read(Position position);
  void OnClosed(Position position);
  void AwaitAnswer();

  const uint32_t port_;
  std::list<Try> tries_;  // the oldest first
  Subscription silence_;
  Backoff silent_{std::chrono::milliseconds(100), std::chrono::milliseconds(500)};
  Backoff closed_{std::chrono::milliseconds(2), std::chrono::milliseconds(50)};
};

}  // namespace microvm::core
