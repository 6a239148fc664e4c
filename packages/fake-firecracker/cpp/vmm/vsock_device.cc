#include "vmm/vsock_device.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <vector>

namespace microvm::fake {
namespace {

constexpr size_t kRequestLimit = 32;
// Firecracker's transmit buffer of a connection.
constexpr size_t kBufferLimit = 64 * 1024;

bool Address(const std::string& path, sockaddr_un* address, socklen_t* size) {
  if (path.size() >= sizeof(address->sun_path)) return false;
  *address = sockaddr_un{};
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path.data(), path.size());
  *size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path.empty() ? 0 : 1));
  return true;
}

UniqueFd NewSocket() { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

}  // namespace

VsockDevice::~VsockDevice() {
  while (!connections_.empty()) Close(connections_.begin()->first);
  if (listener_) loop_->Remove(listener_.Get());
}

std::string VsockDevice::Bind(const std::string& path) {
  constexpr const char* kFailed = "Error binding to the host-side Unix socket: ";
  sockaddr_un address;
  socklen_t size = 0;
  if (!Address(path, &address, &size)) return std::string(kFailed) + "path must be shorter than SUN_LEN";
  UniqueFd listener = NewSocket();
  // SAFETY: the socket calls' own idea of a base type.
  if (bind(listener.Get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener.Get(), 128) != 0)
    return kFailed + OsError(errno);
  listener_ = std::move(listener);
  path_ = path;
  return {};
}

int VsockDevice::Unbind() {
  listener_.Reset();
  return unlink(path_.c_str()) == 0 ? 0 : errno;
}

void VsockDevice::Activate(Guest* guest) {
  guest_ = guest;
  if (listener_ && !is_paused_) loop_->Add(listener_.Get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

void VsockDevice::Pause() {
  if (std::exchange(is_paused_, true)) return;
  if (guest_ != nullptr && listener_) loop_->Remove(listener_.Get());
  for (auto& [fd, connection] : connections_) {
    loop_->Remove(fd);
    if (connection->guest.fd) loop_->Remove(connection->guest.fd.Get());
  }
}

void VsockDevice::Resume() {
  if (!std::exchange(is_paused_, false)) return;
  if (guest_ != nullptr) Activate(guest_);
  for (auto& [fd, connection] : connections_) Watch(connection.get());
}

void VsockDevice::ResetConnections() {
  for (auto& [fd, connection] : connections_) {
    if (!connection->is_open) continue;
    connection->is_reset = true;
    connection->guest.fd.Reset();
  }
}

void VsockDevice::Accept() {
  for (;;) {
    UniqueFd fd(accept4(listener_.Get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    auto connection = std::make_unique<Connection>();
    connection->host.fd = std::move(fd);
    const int host = connection->host.fd.Get();
    connections_[host] = std::move(connection);
    loop_->Add(host, EPOLLIN, [this, host](uint32_t) { OnHost(host); });
  }
}

void VsockDevice::OnHost(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Connection* connection = found->second.get();
  if (!connection->is_open && !ReadRequest(connection)) {
    Close(fd);
    return;
  }
  if (!connection->is_open) return;
  if (!Move(connection)) {
    Close(fd);
    return;
  }
  Watch(connection);
}

// One byte at a time, so that nothing behind the line is taken from the stream.
bool VsockDevice::ReadRequest(Connection* connection) {
  for (;;) {
    char byte = 0;
    const ssize_t got = read(connection->host.fd.Get(), &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    if (byte != '\n') {
      connection->request += byte;
      if (connection->request.size() >= kRequestLimit) return false;
      continue;
    }
    std::string_view line = connection->request;
    constexpr std::string_view kWord = "connect ";
    if (line.size() <= kWord.size() || strncasecmp(line.data(), kWord.data(), kWord.size()) != 0)
      return false;
    line.remove_prefix(kWord.size());
    unsigned port = 0;
    const std::from_chars_result result = std::from_chars(line.data(), line.data() + line.size(), port);
    if (result.ec != std::errc() || result.ptr != line.data() + line.size()) return false;
    Open(connection, port);
    return connection->is_open;
  }
}

void VsockDevice::Open(Connection* connection, unsigned port) {
  if (port != kAgentPort) return;
  connection->guest.fd = guest_->ConnectAgent();
  if (!connection->guest.fd) return;
  connection->is_open = true;
  connection->host.waiting = "OK " + std::to_string(next_port_++) + "\n";
  counters_.added++;
  const int host = connection->host.fd.Get();
  loop_->Add(connection->guest.fd.Get(), EPOLLIN, [this, host](uint32_t) { OnHost(host); });
}

void VsockDevice::DialOut(unsigned port) {
  sockaddr_un address;
  socklen_t size = 0;
  if (!listener_ || !Address(path_ + "_" + std::to_string(port), &address, &size)) return;
  auto connection = std::make_unique<Connection>();
  connection->host.fd = NewSocket();
  const int host = connection->host.fd.Get();
  // SAFETY: as in Bind.
  if (connect(host, reinterpret_cast<sockaddr*>(&address), size) != 0) return;
  connection->guest.fd = guest_->ConnectAgent();
  if (!connection->guest.fd) return;
  connection->is_open = true;
  counters_.added++;
  loop_->Add(host, EPOLLIN, [this, host](uint32_t) { OnHost(host); });
  loop_->Add(connection->guest.fd.Get(), EPOLLIN, [this, host](uint32_t) { OnHost(host); });
  connections_[host] = std::move(connection);
}

bool VsockDevice::Move(Connection* connection) {
  if (connection->is_reset) {
    // The guest answers the first packet of a connection that it does not know any more with a reset.
    char byte;
    const ssize_t got = recv(connection->host.fd.Get(), &byte, 1, MSG_PEEK);
    return got < 0 && errno == EAGAIN;
  }
  return Pump(&connection->guest, &connection->host, &counters_.rx_bytes) &&
         Pump(&connection->host, &connection->guest, &counters_.tx_bytes) &&
         !(connection->host.told_end && connection->guest.told_end);
}

bool VsockDevice::Pump(Side* from, Side* to, uint64_t* counter) {
  for (;;) {
    while (!to->waiting.empty()) {
      const ssize_t wrote = send(to->fd.Get(), to->waiting.data(), to->waiting.size(), MSG_NOSIGNAL);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return errno == EAGAIN;
      *counter += static_cast<uint64_t>(wrote);
      to->waiting.erase(0, static_cast<size_t>(wrote));
    }
    if (from->at_end) {
      if (!to->told_end) shutdown(to->fd.Get(), SHUT_WR);
      to->told_end = true;
      return true;
    }
    char bytes[kBufferLimit];
    const ssize_t got = read(from->fd.Get(), bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    from->at_end = got == 0;
    to->waiting.assign(bytes, static_cast<size_t>(got));
  }
}

void VsockDevice::Watch(Connection* connection) {
  const int host = connection->host.fd.Get();
  const Loop::Handler handler = [this, host](uint32_t) { OnHost(host); };
  if (connection->is_reset || !connection->is_open) {
    loop_->Set(host, EPOLLIN, handler);
    return;
  }
  const auto events = [](const Side& side, const Side& other) -> uint32_t {
    const uint32_t readable = !side.at_end && other.waiting.empty() ? uint32_t{EPOLLIN} : 0;
    const uint32_t writable = side.waiting.empty() ? 0 : uint32_t{EPOLLOUT};
    return readable | writable;
  };
  loop_->Set(host, events(connection->host, connection->guest), handler);
  loop_->Set(connection->guest.fd.Get(), events(connection->guest, connection->host), handler);
}

void VsockDevice::Close(int host_fd) {
  const auto found = connections_.find(host_fd);
  loop_->Remove(host_fd);
  if (found->second->guest.fd) loop_->Remove(found->second->guest.fd.Get());
  if (found->second->is_open) counters_.removed++;
  connections_.erase(found);
}

}  // namespace microvm::fake
