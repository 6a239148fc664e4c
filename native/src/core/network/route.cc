#include "core/network/route.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "core/network/link.h"

namespace microvm::core {
namespace {

std::string Describe(const RoutePlan& route, const std::string& link) {
  return FormatIp(route.to) + (route.via ? " via " + FormatIp(*route.via) : std::string()) + " dev " + link;
}

void AddAttributes(const RoutePlan& route, int link_index, NetlinkRequest* request) {
  if (route.to.length > 0) request->Add(RTA_DST, route.to.address.Bytes());
  if (route.via) request->Add(RTA_GATEWAY, route.via->Bytes());
  if (route.source) request->Add(RTA_PREFSRC, route.source->Bytes());
  if (route.metric) request->AddNumber(RTA_PRIORITY, *route.metric);
  request->AddNumber(RTA_OIF, static_cast<uint32_t>(link_index));
}

rtmsg RouteHeader(const RoutePlan& route) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(route.to.address.family);
  header.rtm_dst_len = static_cast<uint8_t>(route.to.length);
  header.rtm_table = RT_TABLE_MAIN;
  if (route.is_on_link) header.rtm_flags = RTNH_F_ONLINK;
  return header;
}

}  // namespace

Status AddRoute(NetlinkSocket* socket, const std::string& link, const RoutePlan& route) {
  auto index = socket->FindLink(link);
  if (!index.Ok()) return index.Error();
  rtmsg header = RouteHeader(route);
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_UNICAST;
  // An IPv4 route without a gateway reaches the link itself.
  const bool is_link_scope = header.rtm_family == AF_INET && !route.via;
  header.rtm_scope = is_link_scope ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  NetlinkRequest request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  request.SetFixed(header);
  AddAttributes(route, index.Value(), &request);
  return socket->Exchange(&request, {"RTM_NEWROUTE", Describe(route, link)});
}

Result<bool> DeleteRoute(NetlinkSocket* socket, const std::string& link, const RoutePlan& route) {
  auto index = socket->FindLink(link);
  if (!index.Ok()) return index.Error().number == ENODEV ? Result<bool>(false) : index.Error();
  rtmsg header = RouteHeader(route);
  // Matches any.
  header.rtm_scope = RT_SCOPE_NOWHERE;
  NetlinkRequest request(RTM_DELROUTE, NLM_F_ACK);
  request.SetFixed(header);
  AddAttributes(route, index.Value(), &request);
  auto deleted = socket->Exchange(&request, {"RTM_DELROUTE", Describe(route, link)});
  if (deleted.Ok()) return true;
  // ENETUNREACH: IPv4 has no such table yet, so no route.
  const int number = deleted.Error().number;
  if (number == ESRCH || number == ENODEV || number == ENETUNREACH) return false;
  return deleted.Error();
}

Result<std::vector<RouteRecord>> ListRoutes(NetlinkSocket* socket) {
  auto routes = socket->List<RouteRecord>(RTM_GETROUTE, rtmsg{}, "RTM_GETROUTE", DecodeRoute);
  if (!routes.Ok()) return routes;
  auto& list = routes.Value();
  const auto is_other = [](const RouteRecord& route) { return route.table != RT_TABLE_MAIN; };
  list.erase(std::remove_if(list.begin(), list.end(), is_other), list.end());
  auto named = NameLinks(socket, &list);
  if (!named.Ok()) return named.Error();
  return routes;
}

}  // namespace microvm::core
