#include "core/network/netlink_socket.h"

// Before the kernel's headers, which then leave out what it has.
#include <net/if.h>
// clang-format keeps the two apart.
#include <linux/netlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "core/file_io.h"

namespace microvm::core {
namespace {

// The kernel sends lists in pieces of at most 32 KiB, or as long as its longest single message.
constexpr size_t kBufferBytes = 64 * 1024;
// The kernel answers before a request returns. Only a lost answer could let us wait.
constexpr int kAnswerSeconds = 10;

Status Configure(int fd) {
  const int on = 1;
  const timeval limit{kAnswerSeconds, 0};
  // Both since Linux 4.12 and 4.3; without them errors just say less.
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return SysError::Last("setsockopt");
  return {};
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::Open(std::string netns) {
  NetlinkSocket opened;
  opened.netns_ = std::move(netns);
  opened.fd_.Reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!opened.fd_) return SysError::Last("socket", opened.netns_);
  auto configured = Configure(opened.fd_.Get());
  if (!configured.Ok()) return configured.Error();
  opened.buffer_.resize(kBufferBytes);
  return opened;
}

SysError NetlinkSocket::ErrorOf(int number, const NetlinkStep& step, std::string detail) const {
  return SysError{number, step.name, netns_, step.object, std::move(detail)};
}

Status NetlinkSocket::Exchange(NetlinkRequest* request, const NetlinkStep& step,
                               const NetlinkReply::OnMessage& on_message) {
  const std::string_view bytes = request->Seal(++sequence_);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = RetryOnSignal([&] {
    // SAFETY: the socket interface's own way to pass an address.
    return sendto(fd_.Get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
                  sizeof kernel);
  });
  if (sent < 0) return ErrorOf(errno, {"sendto", step.object});
  NetlinkReply reply(sequence_, on_message);
  NetlinkReply::State state = NetlinkReply::State::kOpen;
  while (state == NetlinkReply::State::kOpen) {
    auto datagram = Receive(step.object);
    if (!datagram.Ok()) return datagram.Error();
    state = reply.Consume(datagram.Value());
  }
  if (state == NetlinkReply::State::kMalformed) return ErrorOf(EBADMSG, step);
  if (reply.ErrorNumber() != 0) return ErrorOf(reply.ErrorNumber(), step, reply.KernelMessage());
  if (reply.IsInterrupted()) return ErrorOf(EAGAIN, step);
  return {};
}

Result<std::string_view> NetlinkSocket::Receive(const std::string& object) {
  while (true) {
    sockaddr_nl sender{};
    iovec piece{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const ssize_t got = RetryOnSignal([&] { return recvmsg(fd_.Get(), &message, 0); });
    if (got < 0) return ErrorOf(errno == EAGAIN ? ETIMEDOUT : errno, {"recvmsg", object});
    if ((message.msg_flags & MSG_TRUNC) != 0) return ErrorOf(EMSGSIZE, {"recvmsg", object});
    // Other privileged processes can write to us too: only the kernel has port 0.
    if (sender.nl_pid == 0) return std::string_view(buffer_.data(), static_cast<size_t>(got));
  }
}

Result<int> NetlinkSocket::FindLink(const std::string& name) {
  const NetlinkStep step{"SIOCGIFINDEX", name};
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return ErrorOf(ENODEV, step);
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  if (ioctl(fd_.Get(), SIOCGIFINDEX, &request) != 0) return ErrorOf(errno, step);
  return request.ifr_ifindex;
}

}  // namespace microvm::core
