#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "byte_queue.h"
#include "frame.h"
#include "kernel_options.h"
#include "peer.h"
#include "poller.h"
#include "unique_fd.h"

namespace microvm::agent {

// The byte stream to the host, whichever kind it is, and whether there is anybody at the other end.
class Channel {
 public:
  // `is_trusted` says which connections are taken, by the address of their other end.
  explicit Channel(Poller* poller, bool (*is_trusted)(const sockaddr_storage&) = IsFromHost)
      : poller_(poller), is_trusted_(is_trusted) {}

  // An open descriptor; the channel ends for good with it.
  bool UseDescriptor(int fd);
  // A listening unix socket; a newer connection replaces an older one.
  bool Listen(const char* path);
  // The same with one that listens already.
  bool UseListener(UniqueFd listener);
  // Once, beside listening: a host that waits for us at this unix socket has us at once. Nobody there is no
  // error.
  void Dial(const char* path);
  // The guest's port, which may not be there yet: it is looked for until it is.
  void Find(KernelOptions::Transport transport);

  void OnEvent(uint32_t events);
  // True: a new connection, nothing of the older one counts any more.
  bool OnListenerEvent();
  // As above, for the connection that we asked for.
  bool OnDialled();
  // Looks for the port again, looks whether the host came back.
  void Tick(uint64_t now);
  uint64_t deadline() const { return deadline_; }

  // Moves bytes; true when something moved and there may be more at once.
  bool ReadInto(Decoder* decoder);
  bool WriteFrom(ByteQueue* queue);

  // The end of a connection: returns when the host's side has all that was written, after `wait_ms` in any
  // case.
  void Finish(uint64_t wait_ms);

  // The descriptor given by UseDescriptor has ended.
  bool ended() const { return ended_; }
  // There has been no host for so long that its session is over. Told once.
  bool TakeHostLeft();
  bool CanWrite() const { return fd_ && !host_away_; }

 private:
  enum class Kind { kNone, kDescriptor, kListener, kPort };

  bool Adopt(UniqueFd fd);
  void Lost();
  bool OpenPort();
  bool ListenAt(const sockaddr* address, socklen_t size);
  void DialTo(const sockaddr* address, socklen_t size);
  bool UseVsock();
  void HostAway();

  Poller* poller_;
  bool (*is_trusted_)(const sockaddr_storage&);
  Kind kind_ = Kind::kNone;
  KernelOptions::Transport transport_ = KernelOptions::Transport::kAuto;
  UniqueFd listener_;
  UniqueFd dialling_;
  UniqueFd fd_;
  bool readable_ = false;
  bool writable_ = false;
  bool ended_ = false;
  bool host_away_ = false;
  bool host_left_ = false;
  uint64_t searching_since_ = 0;
  uint64_t deadline_ = UINT64_MAX;
};

}  // namespace microvm::agent
