#pragma once

#include <sys/types.h>

#include <string_view>

#include "byte_queue.h"
#include "protocol.h"
#include "wire.h"

namespace microvm::agent {

// Frames that wait for the host. Bounded: whoever makes many of them asks `HasRoom` first.
class Outbox {
 public:
  void Send(FrameType type, uint32_t stream, const Bytes& payload = {});
  // A data frame whose payload lies in two pieces.
  void SendParts(FrameType type, uint32_t stream, const uint8_t* first, size_t first_size,
                 const uint8_t* second, size_t second_size);
  void Fail(uint32_t stream, int error, std::string_view step);

  // Reads up to `max` bytes from `fd` into a data frame; answers what read(2) did, and sends nothing unless
  // it is positive.
  ssize_t SendFrom(int fd, FrameType type, uint32_t stream, size_t max);

  // Forgets what waits and begins a session with its mark.
  void Begin(const SessionId& session);
  void Clear() { queue_.Clear(); }

  bool HasRoom() const { return queue_.size() < kLimit; }
  ByteQueue& queue() { return queue_; }

  uint32_t epoch = 1;

 private:
  static constexpr size_t kLimit = 256 * 1024;

  ByteQueue queue_;
};

}  // namespace microvm::agent
