#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/unix_socket.h"
#include "core/wait/wait.h"

namespace microvm::core {

// A unix socket that we listen on, and its file. Connections stay in the kernel's queue until somebody waits
// for one (AcceptWait). Shared; the file outlives it unless it is closed.
class SocketListener : public std::enable_shared_from_this<SocketListener> {
 public:
  using OnOpen = std::function<void(Result<std::shared_ptr<SocketListener>>)>;

  // Any thread; `on_open` runs on the loop's thread, and so does `on_closed`.
  static Status Open(const std::string& path, const ListenOptions& options, OnOpen on_open);
  // Ends the waits with EBADF, removes the file if it is still the one that was made here. Any thread, once.
  void Close(std::function<void()> on_closed);

  SocketListener(WaitLoop* loop, std::string path) : loop_(loop), path_(std::move(path)) {}

 private:
  friend class AcceptWait;
  Status Listen(const ListenOptions& options);
  void CloseNow();

  WaitLoop* const loop_;
  const std::string path_;
  UniqueFd socket_;
  std::pair<dev_t, ino_t> file_{};
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, std::weak_ptr<Wait>> waits_;
};

// Waits for the next connection.
class AcceptWait final : public Wait {
 public:
  static SysError ClosedError(const std::string& path);
  // The request has the listener's path.
  static std::shared_ptr<Wait> Begin(std::shared_ptr<SocketListener> listener, WaitRequest request,
                                     OnEnd on_end);

  AcceptWait(std::shared_ptr<SocketListener> listener, WaitRequest request, OnEnd on_end);

 protected:
  void Start() override;
  void Release() override;
  const char* Syscall() const override { return "accept"; }

 private:
  friend class SocketListener;
  void Accept();

  const std::shared_ptr<SocketListener> listener_;
  uint64_t id_ = 0;
  UniqueFd socket_;
  Subscription readable_;
};

}  // namespace microvm::core
