#pragma once

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/unix_socket.h"
#include "core/wait/wait.h"

namespace microvm::test {

// Collects the ends of waits from the loop's thread. Must outlive them.
class Ends {
 public:
  core::Wait::OnEnd Callback() {
    return [this](core::WaitEnd end) {
      const std::lock_guard lock(mutex_);
      ends_.push_back(std::move(end));
      changed_.notify_all();
    };
  }
  // Fails the test when they do not come.
  std::vector<core::WaitEnd> Await(size_t count) {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return ends_.size() >= count; }));
    return std::exchange(ends_, {});
  }
  core::WaitEnd AwaitOne() { return std::move(Await(1).at(0)); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<core::WaitEnd> ends_;
};

inline int NumberOf(const core::WaitEnd& end) { return end.socket.Ok() ? 0 : end.socket.Error().number; }

// The next connection, once there is one.
inline UniqueFd Accept(int listener) {
  pollfd entry{listener, POLLIN, 0};
  if (poll(&entry, 1, 20000) <= 0) return {};
  return UniqueFd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

// A server of one thread that treats each connection by a function. It ends with the object.
class Server {
 public:
  using Treat = std::function<void(UniqueFd)>;

  Server(const std::string& path, Treat treat) : treat_(std::move(treat)) {
    auto socket = core::ListenUnix(path, {});
    CHECK(socket.Ok());
    socket_ = std::move(socket.Value());
    thread_ = std::thread([this] { Run(); });
  }
  ~Server() {
    is_ending_ = true;
    thread_.join();
  }

 private:
  void Run() {
    while (!is_ending_) {
      pollfd entry{socket_.Get(), POLLIN, 0};
      if (poll(&entry, 1, 5) <= 0) continue;
      if (UniqueFd connection = Accept(socket_.Get())) treat_(std::move(connection));
    }
  }

  const Treat treat_;
  std::atomic<bool> is_ending_{false};
  UniqueFd socket_;
  std::thread thread_;
};

inline std::string ReadSome(int fd) {
  char bytes[256];
  pollfd entry{fd, POLLIN, 0};
  if (poll(&entry, 1, 20000) <= 0) return "<nothing>";
  const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
  return got < 0 ? "<error>" : std::string(bytes, static_cast<size_t>(got));
}

inline void Send(int fd, std::string_view text) {
  static_cast<void>(send(fd, text.data(), text.size(), MSG_NOSIGNAL));
}

inline size_t OpenDescriptors() {
  size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

}  // namespace microvm::test
