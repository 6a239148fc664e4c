#pragma once

#include <sys/socket.h>

#include "wire.h"

namespace microvm::agent {

// Where a connection goes to, or where the host listens, as the socket calls have it.
struct ConnectRequest {
  sockaddr_storage address{};
  socklen_t size = 0;
};

// The body of an OPEN for a connection. False: it breaks the protocol.
bool DecodeConnect(PayloadReader* in, ConnectRequest* request);
// The body of an OPEN for a listener; `mode` is that of a unix socket's file.
bool DecodeListen(PayloadReader* in, ConnectRequest* request, uint16_t* mode);

}  // namespace microvm::agent
