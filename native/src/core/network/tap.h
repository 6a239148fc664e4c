#pragma once

#include "core/network/netlink_socket.h"
#include "core/network/plan.h"
#include "core/result.h"

namespace microvm::core {

// Makes a persistent TAP device with its settings, addresses and routes, whole or not at all. The calling
// thread must be in the namespace of the socket. EEXIST when the name is taken.
Status CreateTap(NetlinkSocket* socket, const TapPlan& plan);

}  // namespace microvm::core
