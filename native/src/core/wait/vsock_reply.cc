#include "core/wait/vsock_reply.h"

namespace microvm::core {
namespace {

constexpr std::string_view kStart = "OK ";

}  // namespace

size_t VsockReply::Consume(std::string_view bytes) {
  size_t taken = 0;
  while (state_ == State::kPartial && taken < bytes.size()) {
    state_ = Next(bytes[taken]);
    if (state_ == State::kMalformed) break;
    ++taken;
    ++length_;
  }
  return taken;
}

VsockReply::State VsockReply::Next(char byte) {
  if (length_ < kStart.size()) return byte == kStart[length_] ? State::kPartial : State::kMalformed;
  if (byte == '\n') return length_ > kStart.size() ? State::kComplete : State::kMalformed;
  if (byte < '0' || byte > '9') return State::kMalformed;
  if (length_ > kStart.size() && port_ == 0) return State::kMalformed;  // a leading zero
  port_ = port_ * 10 + static_cast<uint64_t>(byte - '0');
  return port_ <= UINT32_MAX ? State::kPartial : State::kMalformed;
}

}  // namespace microvm::core
