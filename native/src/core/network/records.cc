#include "core/network/records.h"

#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "core/network/netlink_message.h"

namespace microvm::core {
namespace {

constexpr uint32_t kNoId = UINT32_MAX;

bool IsIp(int family) { return family == AF_INET || family == AF_INET6; }

bool DecodeTun(std::string_view bytes, TunRecord* tun) {
  NetlinkAttributeReader reader(bytes);
  NetlinkAttribute attribute;
  while (reader.Next(&attribute)) {
    const auto is_set = [&] { return attribute.Byte().value_or(0) != 0; };
    switch (attribute.type) {
      case IFLA_TUN_OWNER:
        if (attribute.Number() != kNoId) tun->owner = attribute.Number();
        break;
      case IFLA_TUN_GROUP:
        if (attribute.Number() != kNoId) tun->group = attribute.Number();
        break;
      case IFLA_TUN_TYPE:
        tun->is_tap = attribute.Byte() == IFF_TAP;
        break;
      case IFLA_TUN_PERSIST:
        tun->is_persistent = is_set();
        break;
      case IFLA_TUN_VNET_HDR:
        tun->has_vnet_header = is_set();
        break;
      case IFLA_TUN_MULTI_QUEUE:
        tun->is_multi_queue = is_set();
        break;
      default:
        break;
    }
  }
  return !reader.IsMalformed();
}

bool DecodeLinkInfo(std::string_view bytes, LinkRecord* link) {
  NetlinkAttributeReader reader(bytes);
  NetlinkAttribute attribute;
  std::string_view data;
  while (reader.Next(&attribute)) {
    if (attribute.type == IFLA_INFO_KIND) link->kind = attribute.Text();
    if (attribute.type == IFLA_INFO_DATA) data = attribute.value;
  }
  if (reader.IsMalformed()) return false;
  if (link->kind != "tun") return true;
  link->tun.emplace();
  return DecodeTun(data, &*link->tun);
}

bool DecodeLinkAttribute(const NetlinkAttribute& attribute, LinkRecord* link) {
  switch (attribute.type) {
    case IFLA_IFNAME:
      link->name = attribute.Text();
      return true;
    case IFLA_IFALIAS:
      link->alias = attribute.Text();
      return true;
    case IFLA_ADDRESS:
      link->mac = FormatMac(attribute.value);
      return true;
    case IFLA_MTU:
      link->mtu = attribute.Number().value_or(0);
      return attribute.Number().has_value();
    case IFLA_LINK:
      link->peer_index = attribute.Number();
      return link->peer_index.has_value();
    case IFLA_LINK_NETNSID:
      link->peer_netns_id = attribute.Number();
      return link->peer_netns_id.has_value();
    case IFLA_LINKINFO:
      return DecodeLinkInfo(attribute.value, link);
    default:
      return true;
  }
}

bool DecodeVia(std::string_view bytes, RouteRecord* route) {
  uint16_t family = 0;
  if (bytes.size() < sizeof family) return false;
  memcpy(&family, bytes.data(), sizeof family);
  route->via = IpAddressOf(family, bytes.substr(sizeof family));
  return route->via.has_value();
}

bool DecodeRouteAttribute(const NetlinkAttribute& attribute, int family, RouteRecord* route,
                          std::string_view* next_hops) {
  const auto number = [&](uint32_t* field) {
    *field = attribute.Number().value_or(0);
    return attribute.Number().has_value();
  };
  switch (attribute.type) {
    case RTA_DST: {
      const auto address = IpAddressOf(family, attribute.value);
      if (address) route->to.address = *address;
      return address.has_value();
    }
    case RTA_GATEWAY:
      route->via = IpAddressOf(family, attribute.value);
      return route->via.has_value();
    case RTA_PREFSRC:
      route->source = IpAddressOf(family, attribute.value);
      return route->source.has_value();
    case RTA_OIF:
      route->link_index = static_cast<int>(attribute.Number().value_or(0));
      return attribute.Number().has_value();
    case RTA_PRIORITY:
      return number(&route->metric);
    case RTA_TABLE:
      return number(&route->table);
    case RTA_VIA:
      return DecodeVia(attribute.value, route);
    case RTA_MULTIPATH:
      *next_hops = attribute.value;
      return true;
    default:
      return true;
  }
}

bool DecodeRouteAttributes(std::string_view bytes, int family, RouteRecord* route,
                           std::string_view* next_hops) {
  NetlinkAttributeReader reader(bytes);
  NetlinkAttribute attribute;
  while (reader.Next(&attribute)) {
    if (!DecodeRouteAttribute(attribute, family, route, next_hops)) return false;
  }
  return !reader.IsMalformed();
}

bool DecodeNextHops(std::string_view bytes, const RouteRecord& route, std::vector<RouteRecord>* list) {
  while (!bytes.empty()) {
    rtnexthop hop{};
    if (bytes.size() < sizeof hop) return false;
    memcpy(&hop, bytes.data(), sizeof hop);
    if (hop.rtnh_len < sizeof hop || hop.rtnh_len > bytes.size()) return false;
    RouteRecord way = route;
    way.link_index = hop.rtnh_ifindex;
    std::string_view nested;
    const std::string_view attributes = bytes.substr(sizeof hop, hop.rtnh_len - sizeof hop);
    if (!DecodeRouteAttributes(attributes, route.to.address.family, &way, &nested)) return false;
    list->push_back(way);
    const size_t padded = RTNH_ALIGN(hop.rtnh_len);
    bytes.remove_prefix(padded < bytes.size() ? padded : bytes.size());
  }
  return true;
}

}  // namespace

std::optional<LinkRecord> DecodeLink(std::string_view payload) {
  ifinfomsg header{};
  if (!TakeFixed(&payload, &header)) return {};
  LinkRecord link;
  link.index = header.ifi_index;
  link.flags = header.ifi_flags;
  NetlinkAttributeReader reader(payload);
  NetlinkAttribute attribute;
  while (reader.Next(&attribute)) {
    if (!DecodeLinkAttribute(attribute, &link)) return {};
  }
  if (reader.IsMalformed()) return {};
  return link;
}

bool DecodeAddress(std::string_view payload, std::vector<AddressRecord>* list) {
  ifaddrmsg header{};
  if (!TakeFixed(&payload, &header)) return false;
  if (!IsIp(header.ifa_family)) return true;
  AddressRecord record;
  record.link_index = static_cast<int>(header.ifa_index);
  record.address.length = header.ifa_prefixlen;
  record.flags = header.ifa_flags;
  record.scope = header.ifa_scope;
  std::optional<IpAddress> local;
  std::optional<IpAddress> address;
  NetlinkAttributeReader reader(payload);
  NetlinkAttribute attribute;
  while (reader.Next(&attribute)) {
    if (attribute.type == IFA_LOCAL || attribute.type == IFA_ADDRESS) {
      auto& field = attribute.type == IFA_LOCAL ? local : address;
      field = IpAddressOf(header.ifa_family, attribute.value);
      if (!field) return false;
    }
    if (attribute.type == IFA_FLAGS) record.flags = attribute.Number().value_or(record.flags);
  }
  // IFA_ADDRESS is the peer's where there is a local one too; they are the same unless it is point-to-point.
  if (local && address && local->bytes != address->bytes) record.peer = address;
  const auto& own = local ? local : address;
  if (reader.IsMalformed() || !own || header.ifa_prefixlen > own->Length() * 8) return false;
  record.address.address = *own;
  list->push_back(record);
  return true;
}

bool DecodeRoute(std::string_view payload, std::vector<RouteRecord>* list) {
  rtmsg header{};
  if (!TakeFixed(&payload, &header)) return false;
  if (!IsIp(header.rtm_family)) return true;
  RouteRecord route;
  // No RTA_DST: the default route.
  route.to.address.family = header.rtm_family;
  route.to.length = header.rtm_dst_len;
  if (route.to.length > route.to.address.Length() * 8) return false;
  route.table = header.rtm_table;
  route.protocol = header.rtm_protocol;
  route.scope = header.rtm_scope;
  route.type = header.rtm_type;
  std::string_view next_hops;
  if (!DecodeRouteAttributes(payload, header.rtm_family, &route, &next_hops)) return false;
  if (!next_hops.empty()) return DecodeNextHops(next_hops, route, list);
  list->push_back(route);
  return true;
}

std::optional<int> DecodeNamespaceId(std::string_view payload) {
  rtgenmsg header{};
  if (!TakeFixed(&payload, &header)) return {};
  NetlinkAttributeReader reader(payload);
  NetlinkAttribute attribute;
  std::optional<int> id;
  while (reader.Next(&attribute)) {
    if (attribute.type == NETNSA_NSID && attribute.Number()) id = static_cast<int>(*attribute.Number());
  }
  if (reader.IsMalformed()) return {};
  return id;
}

}  // namespace microvm::core
