#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/network/netlink_socket.h"
#include "core/network/plan.h"
#include "core/network/records.h"
#include "core/result.h"

namespace microvm::core {

// Links of the namespace of the socket. ENODEV when there is none of that name.
Result<LinkRecord> GetLink(NetlinkSocket* socket, const std::string& name);
Result<std::vector<LinkRecord>> ListLinks(NetlinkSocket* socket);

// Puts the names of their links into records of addresses or routes.
template <typename Record>
Status NameLinks(NetlinkSocket* socket, std::vector<Record>* records) {
  auto links = ListLinks(socket);
  if (!links.Ok()) return links.Error();
  std::unordered_map<int, std::string> names;
  for (LinkRecord& link : links.Value()) names[link.index] = std::move(link.name);
  for (Record& record : *records) {
    const auto name = names.find(record.link_index);
    if (name != names.end()) record.link = name->second;
  }
  return {};
}

// One request; the kernel makes the changes one after the other.
Status ChangeLink(NetlinkSocket* socket, const std::string& name, const LinkSettings& settings);

// False when there was none. Of a veth pair both ends go. Returns only when the kernel has waited for all its
// readers: RemoveLink is some 20 ms faster.
Result<bool> DeleteLink(NetlinkSocket* socket, const LinkRecord& link);

// Makes both ends with their settings in one step, `inside` in the namespace of the descriptor and still
// down, `host` in the socket's. Addresses and routes are left to the caller.
Status CreateVethPair(NetlinkSocket* socket, const VethPlan& plan, int inside_netns);

// Adds the addresses and then the routes of a link.
Status ApplyAddressing(NetlinkSocket* socket, const LinkPlan& plan);

}  // namespace microvm::core
