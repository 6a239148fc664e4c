#include "core/network/link_watch.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/handles.h"
#include "core/network/link.h"
#include "core/network/netlink_message.h"
#include "core/thread.h"

namespace microvm::core {
namespace {

using Clock = std::chrono::steady_clock;
using IsAwaited = std::function<bool(const LinkRecord&)>;

// How long a cancellation may go unseen.
constexpr std::chrono::milliseconds kLook{20};

Result<UniqueFd> OpenLinkEvents() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return SysError::Last("socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  // SAFETY: the socket interface's own way to pass an address.
  if (bind(fd.Get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return SysError::Last("bind");
  }
  return fd;
}

bool TellsOfRemoval(std::string_view datagram, const IsAwaited& is_awaited) {
  NetlinkMessageReader messages(datagram);
  NetlinkMessage message;
  while (messages.Next(&message)) {
    if (message.type != RTM_DELLINK) continue;
    // A bridge tells of its ports in the same way.
    if (message.payload.empty() || message.payload[0] != AF_UNSPEC) continue;
    const auto link = DecodeLink(message.payload);
    if (link && is_awaited(*link)) return true;
  }
  return false;
}

enum class Told { kNothing, kRemoval, kEventsLost };

Told DrainEvents(int fd, const IsAwaited& is_awaited) {
  Told told = Told::kNothing;
  char buffer[16 * 1024];
  while (true) {
    const ssize_t got = RetryOnSignal([&] { return recv(fd, buffer, sizeof buffer, 0); });
    if (got < 0 && errno != ENOBUFS) return told;
    if (got < 0) {
      told = Told::kEventsLost;
    } else if (TellsOfRemoval({buffer, static_cast<size_t>(got)}, is_awaited)) {
      told = told == Told::kNothing ? Told::kRemoval : told;
    }
  }
}

bool HasIndex(const std::vector<LinkRecord>& links, int index) {
  return std::any_of(links.begin(), links.end(),
                     [index](const LinkRecord& link) { return link.index == index; });
}

// The first of the links that is still there; null when none is.
Result<const LinkRecord*> FindAny(NetlinkSocket* socket, const std::vector<LinkRecord>& links) {
  auto present = ListLinks(socket);
  if (!present.Ok()) return present.Error();
  for (const LinkRecord& link : links) {
    if (HasIndex(present.Value(), link.index)) return &link;
  }
  return nullptr;
}

// One deletion, shared by the thread that asks for it and the one that waits.
class Deletion {
 public:
  explicit Deletion(UniqueFd ended) : ended_(std::move(ended)) {}

  int EndedFd() const { return ended_.Get(); }

  void Run(const LinkRecord& link) {
    auto socket = NetlinkSocket::Open();
    auto result = socket.Ok() ? DeleteLink(&socket.Value(), link) : Result<bool>(socket.Error());
    {
      const std::lock_guard lock(mutex_);
      result_.emplace(std::move(result));
    }
    eventfd_write(ended_.Get(), 1);
  }

  // Only once it has ended.
  Result<bool> TakeResult() {
    const std::lock_guard lock(mutex_);
    return std::move(*result_);
  }

 private:
  const UniqueFd ended_;
  std::mutex mutex_;
  std::optional<Result<bool>> result_;
};

}  // namespace

Status WaitForLinksToGo(const std::vector<LinkRecord>& links, const LinkWait& wait,
                        const Cancellation& cancellation) {
  // Events first: what goes between the look and the wait is then in the queue.
  auto events = OpenLinkEvents();
  if (!events.Ok()) return events.Error();
  auto socket = NetlinkSocket::Open();
  if (!socket.Ok()) return socket.Error();
  const auto is_awaited = [&](const LinkRecord& link) { return HasIndex(links, link.index); };
  while (true) {
    auto left = FindAny(&socket.Value(), links);
    if (!left.Ok()) return left.Error();
    if (left.Value() == nullptr) return {};
    const std::string& name = left.Value()->name;
    pollfd waiting{events.Value().Get(), POLLIN, 0};
    while (poll(&waiting, 1, kLook.count()) <= 0 || DrainEvents(waiting.fd, is_awaited) == Told::kNothing) {
      if (cancellation.IsRequested()) return SysError{ECANCELED, "poll", wait.netns, name};
      if (Clock::now() >= wait.deadline) return SysError{ETIMEDOUT, "poll", wait.netns, name};
    }
  }
}

Result<bool> RemoveLink(const LinkRecord& link) {
  auto events = OpenLinkEvents();
  if (!events.Ok()) return events.Error();
  UniqueFd ended(eventfd(0, EFD_CLOEXEC));
  if (!ended) return SysError::Last("eventfd");
  const auto deletion = std::make_shared<Deletion>(std::move(ended));
  auto started = StartThread("mvm-net-del", [deletion, link] { deletion->Run(link); });
  if (!started.Ok()) deletion->Run(link);
  const auto is_awaited = [&](const LinkRecord& other) { return other.index == link.index; };
  pollfd waiting[] = {{deletion->EndedFd(), POLLIN, 0}, {events.Value().Get(), POLLIN, 0}};
  while (true) {
    RetryOnSignal([&] { return poll(waiting, 2, -1); });
    if (waiting[0].revents != 0) return deletion->TakeResult();
    // Lost events: the deletion's end will tell.
    if (DrainEvents(waiting[1].fd, is_awaited) == Told::kRemoval) return true;
  }
}

Result<bool> RemoveLink(NetlinkSocket* socket, const std::string& name) {
  auto index = socket->FindLink(name);
  if (!index.Ok()) return index.Error().number == ENODEV ? Result<bool>(false) : index.Error();
  LinkRecord link;
  link.index = index.Value();
  link.name = name;
  auto removed = RemoveLink(link);
  if (removed.Ok()) return removed;
  return socket->ErrorOf(removed.Error().number, {removed.Error().syscall, name}, removed.Error().detail);
}

}  // namespace microvm::core
