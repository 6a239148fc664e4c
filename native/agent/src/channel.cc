#include "channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "clock.h"
#include "proc_file.h"
#include "virtio_devices.h"

namespace microvm::agent {
namespace {

constexpr const char* kPortName = "microvm.agent\n";
constexpr const char* kPortDirectory = "/sys/class/virtio-ports";
constexpr const char* kVirtioDevices = "/sys/bus/virtio/devices";
constexpr unsigned kVsockPort = 1024;
// A host that reconnects at once must not lose its session: the kernel may tell of the old connection's end
// after the new one's first bytes were read.
constexpr uint64_t kHostAwayMs = 1000;
constexpr uint64_t kSearchTickMs = 5;
constexpr uint64_t kSlowSearchTickMs = 500;
constexpr uint64_t kSlowSearchAfterMs = 30000;
// Where a guest has both devices, the virtio port gets this long to show itself first.
constexpr uint64_t kVsockAfterMs = 50;

std::string FindPortDevice() {
  const std::unique_ptr<DIR, int (*)(DIR*)> ports(opendir(kPortDirectory), closedir);
  if (!ports) return {};
  while (const dirent* entry = readdir(ports.get())) {
    if (entry->d_name[0] == '.') continue;
    const std::string name =
        ReadSmallFile((std::string(kPortDirectory) + "/" + entry->d_name + "/name").c_str());
    if (name == kPortName) return std::string("/dev/") + entry->d_name;
  }
  return {};
}

bool UnixAddress(const char* path, sockaddr_un* address) {
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof(address->sun_path)) {
    errno = ENAMETOOLONG;
    return false;
  }
  strcpy(address->sun_path, path);
  return true;
}

sockaddr_vm VsockAddress(unsigned cid) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = kVsockPort;
  return address;
}

// Not by /dev/vsock, which a guest without the device has as well: listening there it would never be heard.
bool IsVsockTurn(uint64_t searched_ms) {
  const VirtioDevices devices = FindVirtioDevices(kVirtioDevices);
  return devices.vsock && (!devices.console || searched_ms >= kVsockAfterMs);
}

bool HungUp(int fd) {
  pollfd entry{fd, 0, 0};
  return poll(&entry, 1, 0) == 1 && (entry.revents & POLLHUP) != 0;
}

}  // namespace

bool Channel::Adopt(UniqueFd fd) {
  const int flags = fcntl(fd.Get(), F_GETFL);
  if (flags < 0 || fcntl(fd.Get(), F_SETFL, flags | O_NONBLOCK) != 0) return false;
  fcntl(fd.Get(), F_SETFD, FD_CLOEXEC);
  fd_ = std::move(fd);
  readable_ = writable_ = true;
  host_away_ = host_left_ = false;
  deadline_ = kNever;
  return poller_->Add(fd_.Get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, Tag{Tag::Kind::kChannel, 0, 0});
}

bool Channel::UseDescriptor(int fd) {
  kind_ = Kind::kDescriptor;
  return Adopt(UniqueFd(fd));
}

bool Channel::Listen(const char* path) {
  sockaddr_un address{};
  if (!UnixAddress(path, &address)) return false;
  unlink(path);
  // SAFETY: the socket calls' own idea of a base type; here and below.
  return ListenAt(reinterpret_cast<sockaddr*>(&address), sizeof(address));
}

void Channel::Dial(const char* path) {
  sockaddr_un address{};
  if (UnixAddress(path, &address)) DialTo(reinterpret_cast<sockaddr*>(&address), sizeof(address));
}

bool Channel::UseVsock() {
  sockaddr_vm address = VsockAddress(VMADDR_CID_ANY);
  if (!ListenAt(reinterpret_cast<sockaddr*>(&address), sizeof(address))) return false;
  address = VsockAddress(VMADDR_CID_HOST);
  DialTo(reinterpret_cast<sockaddr*>(&address), sizeof(address));
  return true;
}

bool Channel::ListenAt(const sockaddr* address, socklen_t size) {
  UniqueFd listener(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener || bind(listener.Get(), address, size) != 0 || listen(listener.Get(), 4) != 0) {
    return false;
  }
  return UseListener(std::move(listener));
}

bool Channel::UseListener(UniqueFd listener) {
  kind_ = Kind::kListener;
  listener_ = std::move(listener);
  return poller_->Add(listener_.Get(), EPOLLIN, Tag{Tag::Kind::kListener, 0, 0});
}

void Channel::DialTo(const sockaddr* address, socklen_t size) {
  UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || (connect(fd.Get(), address, size) != 0 && errno != EINPROGRESS)) return;
  if (poller_->Add(fd.Get(), EPOLLOUT, Tag{Tag::Kind::kDialled, 0, 0})) dialling_ = std::move(fd);
}

bool Channel::OnDialled() {
  if (!dialling_) return false;
  UniqueFd fd = std::move(dialling_);
  poller_->Remove(fd.Get());
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd.Get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return false;
  return Adopt(std::move(fd));
}

void Channel::Find(KernelOptions::Transport transport) {
  transport_ = transport;
  kind_ = Kind::kPort;
  searching_since_ = NowMs();
  deadline_ = 0;
}

bool Channel::OpenPort() {
  const std::string device = FindPortDevice();
  if (device.empty()) return false;
  UniqueFd fd(open(device.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return fd && Adopt(std::move(fd));
}

void Channel::Tick(uint64_t now) {
  if (now < deadline_) return;
  deadline_ = kNever;
  if (kind_ == Kind::kPort && !fd_) {
    using Transport = KernelOptions::Transport;
    if (transport_ != Transport::kVsock && OpenPort()) return;
    const bool vsock_turn = transport_ == Transport::kVsock ||
                            (transport_ == Transport::kAuto && IsVsockTurn(now - searching_since_));
    if (vsock_turn && access("/dev/vsock", F_OK) == 0 && UseVsock()) return;
    deadline_ = now + (now - searching_since_ < kSlowSearchAfterMs ? kSearchTickMs : kSlowSearchTickMs);
  } else if (host_away_ && fd_) {
    if (HungUp(fd_.Get())) {
      host_left_ = true;
    } else {
      host_away_ = false;
      readable_ = writable_ = true;
    }
  }
}

bool Channel::OnListenerEvent() {
  bool replaced = false;
  for (;;) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    // SAFETY: the socket calls' own idea of a base type.
    UniqueFd fd(
        accept4(listener_.Get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return replaced;
    if (!is_trusted_(peer)) continue;
    // A host that dials does not wait for us.
    dialling_.Reset();
    replaced = Adopt(std::move(fd)) || replaced;
  }
}

void Channel::OnEvent(uint32_t events) {
  if (!fd_) return;
  if ((events & EPOLLHUP) == 0 && host_away_) {
    host_away_ = false;
    deadline_ = kNever;
  }
  readable_ = true;
  writable_ = true;
}

void Channel::HostAway() {
  readable_ = writable_ = false;
  if (host_away_) return;
  host_away_ = true;
  deadline_ = NowMs() + kHostAwayMs;
}

void Channel::Lost() {
  fd_.Reset();
  readable_ = writable_ = false;
  host_left_ = true;
  if (kind_ == Kind::kDescriptor) ended_ = true;
  if (kind_ == Kind::kPort) Find(transport_);
}

void Channel::Finish(uint64_t wait_ms) {
  if (!fd_ || kind_ == Kind::kPort) return;
  // vsock only puts what is written into a queue of the kernel, and a reset now would lose it (seen with
  // Linux 6.1 on Firecracker 1.17). A lingering close waits for the device's answer to the end of the
  // connection, which comes after all data.
  const linger option{1, static_cast<int>((wait_ms + 999) / 1000)};
  setsockopt(fd_.Get(), SOL_SOCKET, SO_LINGER, &option, sizeof(option));
  fd_.Reset();
}

bool Channel::TakeHostLeft() { return std::exchange(host_left_, false); }

bool Channel::ReadInto(Decoder* decoder) {
  if (!fd_ || !readable_) return false;
  size_t size = 0;
  uint8_t* space = decoder->Space(&size);
  const ssize_t got = read(fd_.Get(), space, size);
  if (got > 0) {
    decoder->Commit(static_cast<size_t>(got));
    return true;
  }
  readable_ = false;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    readable_ = errno == EINTR;
    return readable_;
  }
  // A port reads as ended while no host is connected, and is good again later.
  if (got == 0 && kind_ == Kind::kPort) {
    HostAway();
  } else {
    Lost();
  }
  return false;
}

bool Channel::WriteFrom(ByteQueue* queue) {
  if (!fd_ || !writable_ || queue->empty()) return false;
  const ssize_t wrote = write(fd_.Get(), queue->data(), queue->size());
  if (wrote > 0) {
    queue->Consume(static_cast<size_t>(wrote));
    return true;
  }
  if (wrote < 0 && errno == EINTR) return true;
  writable_ = false;
  if (wrote < 0 && errno != EAGAIN && kind_ != Kind::kPort) Lost();
  return false;
}

}  // namespace microvm::agent
