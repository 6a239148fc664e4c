#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "unique_fd.h"

namespace microvm::agent {

// Who an event is for. Events carry numbers, not pointers: the object may be gone when its event is looked
// at.
struct Tag {
  enum class Kind : uint8_t { kSignals, kListener, kDialled, kChannel, kStream };
  Kind kind = Kind::kSignals;
  uint8_t part = 0;
  uint32_t id = 0;

  uint64_t Pack() const {
    return static_cast<uint64_t>(kind) << 56 | static_cast<uint64_t>(part) << 48 | static_cast<uint64_t>(id);
  }
  static Tag Unpack(uint64_t packed) {
    return Tag{static_cast<Kind>(packed >> 56), static_cast<uint8_t>(packed >> 48),
               static_cast<uint32_t>(packed)};
  }
};

// The agent's epoll, edge-triggered throughout: a virtio-serial port without a host is readable and hung up
// all the time, and a pipe whose stream has no credit must not wake anybody.
class Poller {
 public:
  Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  bool Add(int fd, uint32_t events, Tag tag) {
    epoll_event event{};
    event.events = events | EPOLLET;
    event.data.u64 = tag.Pack();
    return epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  void Remove(int fd) { epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, fd, nullptr); }
  int Wait(epoll_event* events, int max, int timeout_ms) {
    return epoll_wait(epoll_.Get(), events, max, timeout_ms);
  }

 private:
  UniqueFd epoll_;
};

}  // namespace microvm::agent
