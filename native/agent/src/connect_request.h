#pragma once

#include <sys/socket.h>

#include "wire.h"

namespace microvm::agent {

// Where a connection goes to, as the socket calls have it.
struct ConnectRequest {
  sockaddr_storage address{};
  socklen_t size = 0;
};

// The body of an OPEN for a connection. False: it breaks the protocol.
bool DecodeConnect(PayloadReader* in, ConnectRequest* request);

}  // namespace microvm::agent
