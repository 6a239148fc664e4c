#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/network/ip_address.h"

namespace microvm::core {

// What the kernel tells of a TUN or TAP device.
struct TunRecord {
  bool is_tap = false;
  bool is_persistent = false;
  bool has_vnet_header = false;
  bool is_multi_queue = false;
  std::optional<uint32_t> owner;
  std::optional<uint32_t> group;
};

struct LinkRecord {
  int index = 0;
  uint32_t flags = 0;  // IFF_*
  std::string name;
  std::string kind;  // "veth", "tun"…; empty for hardware and the loopback
  std::string alias;
  std::string mac;  // as text
  uint32_t mtu = 0;
  std::optional<int> peer_index;
  std::optional<int> peer_netns_id;
  std::optional<TunRecord> tun;
};

struct AddressRecord {
  int link_index = 0;
  std::string link;  // its name, where it was looked up
  IpPrefix address;
  std::optional<IpAddress> peer;
  uint32_t flags = 0;  // IFA_F_*
  uint8_t scope = 0;   // RT_SCOPE_*
};

// One way of a route: a route over several gateways is several records.
struct RouteRecord {
  IpPrefix to;
  std::optional<IpAddress> via;
  std::optional<IpAddress> source;
  int link_index = 0;  // 0: none
  std::string link;    // its name, where it was looked up
  uint32_t metric = 0;
  uint32_t table = 0;
  uint8_t protocol = 0;  // RTPROT_*
  uint8_t scope = 0;     // RT_SCOPE_*
  uint8_t type = 0;      // RTN_*
};

// Each decodes the payload of one message (RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNSID); empty when a
// length or a value is impossible. A record of another family than IPv4 and IPv6 is of no interest: the list
// stays as it is.
std::optional<LinkRecord> DecodeLink(std::string_view payload);
bool DecodeAddress(std::string_view payload, std::vector<AddressRecord>* list);
bool DecodeRoute(std::string_view payload, std::vector<RouteRecord>* list);
// NETNSA_NSID_NOT_ASSIGNED (-1) when the namespace has no number in ours.
std::optional<int> DecodeNamespaceId(std::string_view payload);

}  // namespace microvm::core
