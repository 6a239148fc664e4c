#pragma once

#include <sys/epoll.h>

#include <functional>
#include <map>
#include <memory>

#include "process/system.h"

namespace microvm::fake {

// The one thread of the VMM: descriptors and what to do when they are ready.
class Loop {
 public:
  using Handler = std::function<void(uint32_t events)>;

  Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

  void Add(int fd, uint32_t events, Handler handler) {
    handlers_[fd] = std::make_shared<Handler>(std::move(handler));
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, fd, &event);
  }
  void Change(int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_.Get(), EPOLL_CTL_MOD, fd, &event);
  }
  // Watches for these events, or not at all where there are none (a hang-up would be told of all the same).
  void Set(int fd, uint32_t events, const Handler& handler) {
    if (events == 0) {
      Remove(fd);
    } else if (handlers_.count(fd) != 0) {
      Change(fd, events);
    } else {
      Add(fd, events, handler);
    }
  }
  // Before the descriptor is closed.
  void Remove(int fd) {
    if (handlers_.erase(fd) != 0) epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  // Waits and serves once.
  void Turn() {
    epoll_event events[32];
    const int count = epoll_wait(epoll_.Get(), events, 32, -1);
    for (int i = 0; i < count; i++) {
      const auto found = handlers_.find(events[i].data.fd);
      if (found == handlers_.end()) continue;
      const std::shared_ptr<Handler> handler = found->second;  // it may remove itself
      (*handler)(events[i].events);
    }
  }

 private:
  UniqueFd epoll_;
  std::map<int, std::shared_ptr<Handler>> handlers_;
};

}  // namespace microvm::fake
