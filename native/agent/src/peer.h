#pragma once

#include <sys/socket.h>

namespace microvm::agent {

// Whether a connection that was accepted is the host's. Over vsock any user of the guest could become the
// agent's client otherwise: by the loopback transport (CID 1) or by the guest's own CID.
bool IsFromHost(const sockaddr_storage& peer);

}  // namespace microvm::agent
