#pragma once

#include <string>
#include <vector>

#include "core/network/netlink_socket.h"
#include "core/network/records.h"
#include "core/result.h"

namespace microvm::core {

// EEXIST when the link has it already. IPv6 addresses are usable at once: nobody asks the link for
// duplicates.
Status AddAddress(NetlinkSocket* socket, const std::string& link, const IpPrefix& address);

// False when the link or the address was not there.
Result<bool> DeleteAddress(NetlinkSocket* socket, const std::string& link, const IpPrefix& address);

// Of all links, both families.
Result<std::vector<AddressRecord>> ListAddresses(NetlinkSocket* socket);

}  // namespace microvm::core
