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

// What a path names in one folder, whatever the length of the path.
struct Entry {
  UniqueFd folder;
  std::string name;
};

Result<Entry> OpenParent(const std::string& path) {
  SplitPath split = Split(path);
  auto folder = OpenFile(split.directory, O_PATH | O_DIRECTORY);
  if (!folder.Ok()) return folder.Error();
  return Entry{std::move(folder.Value()), std::move(split.name)};
}

std::string DescriptorPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// The file itself, as a descriptor that only names it.
Result<UniqueFd> OpenSocketFile(const Entry& entry, LastLink last_link) {
  const int flags = O_PATH | O_CLOEXEC | (last_link == LastLink::kRefuse ? O_NOFOLLOW : 0);
  UniqueFd file(openat(entry.folder.Get(), entry.name.c_str(), flags));
  if (!file) return SysError::Last("open");
  struct stat status {};
  if (fstat(file.Get(), &status) != 0) return SysError::Last("fstat");
  if (S_ISLNK(status.st_mode)) return SysError{ELOOP, "open", {}};
  if (!S_ISSOCK(status.st_mode)) return SysError{ENOTSOCK, "open", {}};
  return file;
}

// ENAMETOOLONG: the name alone is too long.
Result<sockaddr_un> ToAddress(const std::string& text) {
  sockaddr_un address{};
  if (text.size() >= sizeof address.sun_path) return SysError{ENAMETOOLONG, "bind", {}};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, text.c_str(), text.size() + 1);
  return address;
}

Result<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return SysError::Last("socket");
  return fd;
}

// SAFETY: sockaddr_un is the address type of AF_UNIX; the API is generic.
const sockaddr* Generic(const sockaddr_un* address) { return reinterpret_cast<const sockaddr*>(address); }

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

Result<UniqueFd> ConnectUnix(const std::string& path, LastLink last_link) {
  // Every step is one of the connect, which is what the caller asked for.
  const auto failed = [&path](const SysError& error) { return SysError{error.number, "connect", path}; };
  auto entry = OpenParent(path);
  if (!entry.Ok()) return failed(entry.Error());
  auto file = OpenSocketFile(entry.Value(), last_link);
  if (!file.Ok()) return failed(file.Error());
  auto address = ToAddress(DescriptorPath(file.Value().Get()));
  if (!address.Ok()) return failed(address.Error());
  auto socket = NewSocket();
  if (!socket.Ok()) return socket.Error();
  const int fd = socket.Value().Get();
  if (RetryOnSignal([&] { return connect(fd, Generic(&address.Value()), sizeof(sockaddr_un)); }) != 0) {
    return SysError::Last("connect", path);
  }
  return socket;
}

Result<UniqueFd> ListenUnix(const std::string& path, const ListenOptions& options) {
  auto entry = OpenParent(path);
  if (!entry.Ok()) return SysError{entry.Error().number, "bind", path};
  const int folder = entry.Value().folder.Get();
  const char* name = entry.Value().name.c_str();
  auto address = ToAddress(DescriptorPath(folder) + "/" + name);
  if (!address.Ok()) return SysError{address.Error().number, "bind", path};
  auto socket = NewSocket();
  if (!socket.Ok()) return socket.Error();
  const int fd = socket.Value().Get();
  // The file is born with the mode of the socket's inode less the umask; what the umask took is given back
  // after.
  if (fchmod(fd, options.mode) != 0) return SysError::Last("fchmod", path);
  if (bind(fd, Generic(&address.Value()), sizeof(sockaddr_un)) != 0) return SysError::Last("bind", path);
  ScopeExit unlink_again([&] { unlinkat(folder, name, 0); });
  auto file = OpenSocketFile(entry.Value(), LastLink::kRefuse);
  if (!file.Ok()) return SysError{file.Error().number, "bind", path};
  const std::string itself = DescriptorPath(file.Value().Get());
  if (options.uid || options.gid) {
    const uid_t uid = options.uid.value_or(static_cast<uid_t>(-1));
    const gid_t gid = options.gid.value_or(static_cast<gid_t>(-1));
    if (fchownat(file.Value().Get(), "", uid, gid, AT_EMPTY_PATH) != 0) return SysError::Last("chown", path);
  }
  if (chmod(itself.c_str(), options.mode) != 0) return SysError::Last("chmod", path);
  if (listen(fd, options.backlog) != 0) return SysError::Last("listen", path);
  unlink_again.Dismiss();
  return socket;
}

Result<SocketPair> MakeSocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return SysError::Last("socketpair");
  }
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
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
