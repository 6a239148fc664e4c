#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/network/netlink_message.h"

namespace microvm::core {

// Follows the kernel's answer to one request over as many datagrams as it takes: messages with data, then an
// acknowledgement or the end of the dump. Bounded by what it is given; a wrong length ends it.
class NetlinkReply {
 public:
  // False when the message makes no sense.
  using OnMessage = std::function<bool(const NetlinkMessage&)>;
  enum class State { kOpen, kEnded, kMalformed };

  NetlinkReply(uint32_t sequence, OnMessage on_message)
      : sequence_(sequence), on_message_(std::move(on_message)) {}

  // Messages of other requests, such as one that was given up, are passed over.
  State Consume(std::string_view datagram);

  // Of a reply that has ended: 0, or the error number.
  int ErrorNumber() const { return error_number_; }
  // The kernel's own words (extended ack), often empty.
  const std::string& KernelMessage() const { return kernel_message_; }
  // What was listed changed meanwhile: the list may be inconsistent.
  bool IsInterrupted() const { return is_interrupted_; }

 private:
  State Take(const NetlinkMessage& message);
  bool TakeAcknowledgement(const NetlinkMessage& message);
  bool TakeDone(const NetlinkMessage& message);
  bool TakeKernelMessage(const NetlinkMessage& message, std::string_view attributes);

  const uint32_t sequence_;
  const OnMessage on_message_;
  int error_number_ = 0;
  std::string kernel_message_;
  bool is_interrupted_ = false;
};

}  // namespace microvm::core
