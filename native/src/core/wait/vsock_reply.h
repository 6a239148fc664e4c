#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace microvm::core {

// Reads Firecracker's answer to "CONNECT <port>\n" on a vsock's socket, "OK <host port>\n", which may come in
// pieces and with the guest's first bytes right behind it. Foreign bytes: anything else is malformed.
class VsockReply {
 public:
  enum class State { kPartial, kComplete, kMalformed };
  // "OK 4294967295\n"
  static constexpr size_t kMaxBytes = 14;

  // Says how many of the bytes belong to the answer; those behind its end are never touched.
  size_t Consume(std::string_view bytes);

  State GetState() const { return state_; }
  // Only when complete.
  uint32_t HostPort() const { return static_cast<uint32_t>(port_); }

 private:
  State Next(char byte);

  State state_ = State::kPartial;
  size_t length_ = 0;
  uint64_t port_ = 0;
};

}  // namespace microvm::core
