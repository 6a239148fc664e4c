#include "guest/control.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace microvm::fake {

int Send(int control, Signal signal, std::string_view body, int fd) {
  char kind = static_cast<char>(signal);
  iovec parts[2] = {{&kind, 1}, {const_cast<char*>(body.data()), body.size()}};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (fd >= 0) {
    message.msg_control = space;
    message.msg_controllen = sizeof(space);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  for (;;) {
    if (sendmsg(control, &message, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

bool Receive(int control, Signal* signal, std::string* body, UniqueFd* fd) {
  char bytes[kMessageLimit];
  iovec part{bytes, sizeof(bytes)};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof(space);
  ssize_t got = 0;
  do {
    got = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int received = -1;
    memcpy(&received, CMSG_DATA(header), sizeof(received));
    UniqueFd owned(received);
    if (fd != nullptr) *fd = std::move(owned);
  }
  *signal = static_cast<Signal>(bytes[0]);
  if (body != nullptr) body->assign(bytes + 1, static_cast<size_t>(got - 1));
  return true;
}

}  // namespace microvm::fake
