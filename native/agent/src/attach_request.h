#pragma once

#include <cstdint>

#include "wire.h"

namespace microvm::agent {

// What a reader that comes, or comes back, asks for.
struct AttachRequest {
  uint64_t id = 0;          // of the command
  bool input_only = false;  // it sends input and reads nothing
  struct Channel {
    uint64_t offset = 0;  // the first byte that it has not read
    uint32_t credit = 0;  // what may be sent to it at first
  };
  Channel channels[2];  // 1 and 2
};

// The body of an OPEN for an attachment. False: it breaks the protocol.
bool DecodeAttach(PayloadReader* in, AttachRequest* request);

}  // namespace microvm::agent
