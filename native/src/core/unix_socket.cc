#include "core/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

#include "core/file_io.h"

namespace microvm::core {
namespace {

constexpr int64_t kSendTimeoutMs = 1000;

// A socket's address that is short whatever the path; valid as long as the folder's descriptor is open.
struct Address {
  UniqueFd folder;
  std::string text;
  sockaddr_un bytes{};
};

Result<Address> AddressOf(const std::string& path) {
  Address address;
  address.text = path;
  if (path.size() >= sizeof address.bytes.sun_path) {
    const SplitPath split = Split(path);
    auto folder = OpenFile(split.directory, O_PATH | O_DIRECTORY);
    if (!folder.Ok()) return SysError{folder.Error().number, "open", path};
    address.folder = std::move(folder.Value());
    address.text = "/proc/self/fd/" + std::to_string(address.folder.Get()) + "/" + split.name;
  }
  if (address.text.size() >= sizeof address.bytes.sun_path) return SysError{ENAMETOOLONG, "open", path};
  address.bytes.sun_family = AF_UNIX;
  memcpy(address.bytes.sun_path, address.text.c_str(), address.text.size() + 1);
  return address;
}

Result<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return SysError::Last("socket");
  return fd;
}

// SAFETY (both casts below): sockaddr_un is the address type of AF_UNIX; the API is generic.
const sockaddr* Generic(const Address& address) { return reinterpret_cast<const sockaddr*>(&address.bytes); }

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Status WaitForRoom(int socket, int64_t deadline) {
  pollfd entry{socket, POLLOUT, 0};
  const int64_t left = deadline - NowMs();
  const int ready = left > 0 ? RetryOnSignal([&] { return poll(&entry, 1, static_cast<int>(left)); }) : 0;
  if (ready < 0) return SysError::Last("poll");
  if (ready == 0) return SysError{ETIMEDOUT, "sendmsg", {}};
  return {};
}

}  // namespace

Result<UniqueFd> ConnectUnix(const std::string& path) {
  auto address = AddressOf(path);
  if (!address.Ok()) return address.Error();
  auto socket = NewSocket();
  if (!socket.Ok()) return socket.Error();
  const int fd = socket.Value().Get();
  if (RetryOnSignal([&] { return connect(fd, Generic(address.Value()), sizeof(sockaddr_un)); }) != 0) {
    return SysError::Last("connect", path);
  }
  return socket;
}

Result<UniqueFd> ListenUnix(const std::string& path, unsigned mode, int backlog) {
  auto address = AddressOf(path);
  if (!address.Ok()) return address.Error();
  auto socket = NewSocket();
  if (!socket.Ok()) return socket.Error();
  const int fd = socket.Value().Get();
  // The file is born with the mode of the socket's inode less the umask; what the umask took is given back
  // after.
  if (fchmod(fd, mode) != 0) return SysError::Last("fchmod", path);
  if (bind(fd, Generic(address.Value()), sizeof(sockaddr_un)) != 0) return SysError::Last("bind", path);
  ScopeExit unlink_again([&] { unlink(address.Value().text.c_str()); });
  if (chmod(address.Value().text.c_str(), mode) != 0) return SysError::Last("chmod", path);
  if (listen(fd, backlog) != 0) return SysError::Last("listen", path);
  unlink_again.Dismiss();
  return socket;
}

Status SendDescriptors(int socket, std::string_view data, const std::vector<int>& fds) {
  const int64_t deadline = NowMs() + kSendTimeoutMs;
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  bool are_fds_sent = false;
  while (!data.empty()) {
    // SAFETY: sendmsg does not write through iov_base.
    iovec part{const_cast<char*>(data.data()), data.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!are_fds_sent) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    }
    const ssize_t sent =
        RetryOnSignal([&] { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (sent >= 0) {
      are_fds_sent = true;
      data.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno != EAGAIN) return SysError::Last("sendmsg");
    auto waited = WaitForRoom(socket, deadline);
    if (!waited.Ok()) return waited;
  }
  return {};
}

}  // namespace microvm::core
