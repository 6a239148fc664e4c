#pragma once

#include <string>
#include <vector>

#include "core/network/netlink_socket.h"
#include "core/network/plan.h"
#include "core/network/records.h"
#include "core/result.h"

namespace microvm::core {

// In the main table. EEXIST when there is one to the same network with the same metric.
Status AddRoute(NetlinkSocket* socket, const std::string& link, const RoutePlan& route);

// False when the link or the route was not there. Gateway, source and metric count only when they are given.
Result<bool> DeleteRoute(NetlinkSocket* socket, const std::string& link, const RoutePlan& route);

// The main table, both families.
Result<std::vector<RouteRecord>> ListRoutes(NetlinkSocket* socket);

}  // namespace microvm::core
