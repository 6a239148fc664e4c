#include "listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace microvm::agent {
namespace {

// Beyond these, connections wait in the kernel.
constexpr size_t kMostWaiting = 16;

bool IsStillThat(const std::string& path, const struct stat& made) {
  struct stat now {};
  return lstat(path.c_str(), &now) == 0 && now.st_dev == made.st_dev && now.st_ino == made.st_ino;
}

}  // namespace

Listener::Listener(uint32_t stream, Parts parts, uint32_t output_window, Outbox* outbox)
    : StreamHandler(stream, output_window, outbox),
      socket_(std::move(parts.socket)),
      numbers_(std::move(parts.numbers_end)),
      path_(std::move(parts.path)),
      made_(parts.made) {
  stream_.TakeOutput(1, std::move(parts.numbers));
}

Listener::~Listener() {
  if (!path_.empty() && IsStillThat(path_, made_)) unlink(path_.c_str());
}

int Listener::fd(uint8_t part) const { return part == kSocketPart ? socket_.Get() : StreamHandler::fd(part); }

void Listener::OnReady(uint8_t part, uint32_t events) {
  if (part == kSocketPart) {
    ready_ = true;
  } else {
    stream_.OnReady(part, events);
  }
}

UniqueFd Listener::TakeWaiting(uint32_t number) {
  const auto node = waiting_.extract(number);
  return node.empty() ? UniqueFd() : std::move(node.mapped());
}

bool Listener::Pump() {
  if (stream_.attached()) Accept();
  return stream_.Pump();
}

void Listener::Accept() {
  while (ready_ && waiting_.size() < kMostWaiting) {
    UniqueFd connection(accept4(socket_.Get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      // Whoever has connected may be gone again. Without a descriptor it is tried again at the next event.
      ready_ = errno == EINTR || errno == ECONNABORTED;
      continue;
    }
    const uint32_t number = ++last_number_;
    // The pipe holds more numbers than may wait.
    if (write(numbers_.Get(), &number, sizeof(number)) != sizeof(number)) return;
    waiting_.emplace(number, std::move(connection));
  }
}

namespace {

// The file of a unix socket: what of it can be undone, when what follows fails.
int MakeFileOurs(const ConnectRequest& address, uint16_t mode, Listener::Parts* parts) {
  if (address.address.ss_family != AF_UNIX) return 0;
  sockaddr_un name;
  std::memcpy(&name, &address.address, sizeof(name));
  parts->path = name.sun_path;
  // Nobody can connect before `listen`, so the file's first mode lets nobody in.
  if (lstat(name.sun_path, &parts->made) == 0 && chmod(name.sun_path, mode) == 0) return 0;
  return errno;
}

}  // namespace

int OpenListener(const ConnectRequest& address, uint16_t mode, Listener::Parts* parts) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
  parts->numbers = UniqueFd(ends[0]);
  parts->numbers_end = UniqueFd(ends[1]);
  parts->socket =
      UniqueFd(::socket(address.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!parts->socket) return errno;
  const int on = 1;
  setsockopt(parts->socket.Get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // SAFETY: the socket calls' own idea of a base type.
  if (bind(parts->socket.Get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0)
    return errno;
  int error = MakeFileOurs(address, mode, parts);
  if (error == 0 && listen(parts->socket.Get(), kMostWaiting) != 0) error = errno;
  if (error != 0 && !parts->path.empty()) unlink(parts->path.c_str());
  return error;
}

}  // namespace microvm::agent
