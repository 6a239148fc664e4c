#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/wait/vsock_reply.h"

using microvm::core::VsockReply;

namespace {

struct Outcome {
  VsockReply::State state;
  size_t taken;
};

// In pieces of up to `piece` bytes, as a socket may yield them.
Outcome Decode(std::string_view bytes, size_t piece) {
  VsockReply reply;
  size_t taken = 0;
  while (reply.GetState() == VsockReply::State::kPartial && taken < bytes.size()) {
    const size_t step = reply.Consume(bytes.substr(taken, piece));
    if (step == 0) break;
    taken += step;
  }
  return {reply.GetState(), taken};
}

void Require(bool condition) {
  if (!condition) abort();
}

}  // namespace

// The first byte is the size of the pieces, the rest what a server sends.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // SAFETY: bytes as chars; libFuzzer keeps them for the call.
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Decode(bytes, bytes.size() + 1);
  const Outcome pieces = Decode(bytes, data[0] == 0 ? 1 : data[0]);
  Require(whole.state == pieces.state && whole.taken == pieces.taken);
  Require(whole.taken <= VsockReply::kMaxBytes && whole.taken <= bytes.size());
  if (whole.state != VsockReply::State::kComplete) return 0;
  // What was taken is exactly the answer, as Firecracker would have written it.
  VsockReply reply;
  static_cast<void>(reply.Consume(bytes));
  Require(bytes.substr(0, whole.taken) == "OK " + std::to_string(reply.HostPort()) + "\n");
  return 0;
}
