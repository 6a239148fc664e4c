#include "connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace microvm::agent {
namespace {

enum End : uint8_t { kClosed, kReset };

void ResetOnClose(int socket) {
  const linger option{1, 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, sizeof(option));
}

}  // namespace

Connection::Connection(uint32_t stream, UniqueFd socket, UniqueFd copy, uint32_t output_window,
                       Outbox* outbox)
    : StreamHandler(stream, output_window, outbox) {
  stream_.TakeInput(std::move(copy), Stream::InputEnd::kShutdown);
  stream_.TakeOutput(1, std::move(socket));
}

void Connection::OnReady(uint8_t part, uint32_t events) {
  stream_.OnReady(part, events);
  if (stream_.opened() || !stream_.attached()) return;
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(stream_.fd(1), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) {
    stream_.Fail(error, "connect");
    return;
  }
  // The first event may be one of before the connection: only a socket that has another end is connected.
  sockaddr_storage peer;
  size = sizeof(peer);
  // SAFETY: the socket calls' own idea of a base type.
  if (getpeername(stream_.fd(1), reinterpret_cast<sockaddr*>(&peer), &size) == 0) stream_.Open({});
}

void Connection::Cancel() {
  if (stream_.fd(1) >= 0) ResetOnClose(stream_.fd(1));
  if (stream_.fd(0) >= 0) ResetOnClose(stream_.fd(0));
  if (stream_.opened()) {
    stream_.Finish({kReset});
  } else {
    stream_.Fail(ECANCELED, "connect");
  }
}

bool Connection::Pump() {
  const bool more = stream_.Pump();
  if (!stream_.attached() || !stream_.opened()) return more;
  if (stream_.broken()) {
    stream_.Finish({kReset});
  } else if (stream_.fd(0) < 0 && !stream_.HasOutput()) {
    stream_.Finish({kClosed});
  }
  return more;
}

int OpenConnection(const ConnectRequest& request, UniqueFd* socket, UniqueFd* copy) {
  *socket = UniqueFd(::socket(request.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!*socket) return errno;
  // What the host writes is small and awaited. Other kinds of socket have no such delay.
  const int on = 1;
  setsockopt(socket->Get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // SAFETY: the socket calls' own idea of a base type.
  const auto* address = reinterpret_cast<const sockaddr*>(&request.address);
  if (connect(socket->Get(), address, request.size) != 0 && errno != EINPROGRESS) return errno;
  return DuplicateSocket(*socket, copy);
}

int DuplicateSocket(const UniqueFd& socket, UniqueFd* copy) {
  *copy = UniqueFd(fcntl(socket.Get(), F_DUPFD_CLOEXEC, 0));
  return *copy ? 0 : errno;
}

}  // namespace microvm::agent
