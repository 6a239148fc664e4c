#include "core/network/link.h"

// Before the kernel's headers, which then leave out what it has.
#include <net/if.h>
// clang-format keeps the two apart.
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include "core/network/address.h"
#include "core/network/route.h"

namespace microvm::core {
namespace {

constexpr uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;

ifinfomsg LinkHeader(const LinkSettings& settings) {
  ifinfomsg header{};
  if (settings.is_up) {
    header.ifi_change = IFF_UP;
    header.ifi_flags = *settings.is_up ? IFF_UP : 0;
  }
  return header;
}

void AddSettings(const LinkSettings& settings, NetlinkRequest* request) {
  if (settings.mac) request->Add(IFLA_ADDRESS, {settings.mac->data(), settings.mac->size()});
  if (settings.mtu) request->AddNumber(IFLA_MTU, *settings.mtu);
  if (!settings.new_name.empty()) request->AddText(IFLA_IFNAME, settings.new_name);
  if (!settings.alias.empty()) request->Add(IFLA_IFALIAS, settings.alias);
}

bool AppendLink(std::string_view payload, std::vector<LinkRecord>* list) {
  auto link = DecodeLink(payload);
  if (link) list->push_back(std::move(*link));
  return link.has_value();
}

}  // namespace

Result<LinkRecord> GetLink(NetlinkSocket* socket, const std::string& name) {
  NetlinkRequest request(RTM_GETLINK, NLM_F_ACK);
  request.SetFixed(ifinfomsg{});
  request.AddText(IFLA_IFNAME, name);
  request.AddNumber(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const NetlinkStep step{"RTM_GETLINK", name};
  std::vector<LinkRecord> found;
  auto asked = socket->Exchange(
      &request, step, [&](const NetlinkMessage& message) { return AppendLink(message.payload, &found); });
  if (!asked.Ok()) return asked.Error();
  if (found.empty()) return socket->ErrorOf(EBADMSG, step);
  return std::move(found.front());
}

Result<std::vector<LinkRecord>> ListLinks(NetlinkSocket* socket) {
  return socket->List<LinkRecord>(RTM_GETLINK, ifinfomsg{}, "RTM_GETLINK", AppendLink);
}

Status ChangeLink(NetlinkSocket* socket, const std::string& name, const LinkSettings& settings) {
  auto index = socket->FindLink(name);
  if (!index.Ok()) return index.Error();
  NetlinkRequest request(RTM_SETLINK, NLM_F_ACK);
  ifinfomsg header = LinkHeader(settings);
  header.ifi_index = index.Value();
  request.SetFixed(header);
  AddSettings(settings, &request);
  return socket->Exchange(&request, {"RTM_SETLINK", name});
}

Result<bool> DeleteLink(NetlinkSocket* socket, const LinkRecord& link) {
  NetlinkRequest request(RTM_DELLINK, NLM_F_ACK);
  ifinfomsg header{};
  header.ifi_index = link.index;
  request.SetFixed(header);
  auto deleted = socket->Exchange(&request, {"RTM_DELLINK", link.name});
  if (deleted.Ok()) return true;
  if (deleted.Error().number == ENODEV) return false;
  return deleted.Error();
}

Status CreateVethPair(NetlinkSocket* socket, const VethPlan& plan, int inside_netns) {
  NetlinkRequest request(RTM_NEWLINK, kCreate);
  request.SetFixed(LinkHeader(plan.host.settings));
  request.AddText(IFLA_IFNAME, plan.host.name);
  AddSettings(plan.host.settings, &request);
  const size_t info = request.Open(IFLA_LINKINFO);
  request.AddText(IFLA_INFO_KIND, "veth");
  const size_t data = request.Open(IFLA_INFO_DATA);
  const size_t peer = request.Open(VETH_INFO_PEER);
  // Not up yet: the driver opens it before the two know each other (ENOTCONN).
  request.SetFixed(ifinfomsg{});
  request.AddText(IFLA_IFNAME, plan.inside.name);
  AddSettings(plan.inside.settings, &request);
  request.AddNumber(IFLA_NET_NS_FD, static_cast<uint32_t>(inside_netns));
  request.Close(peer);
  request.Close(data);
  request.Close(info);
  auto created = socket->Exchange(&request, {"RTM_NEWLINK", plan.host.name});
  if (created.Ok() || created.Error().number != EEXIST) return created;
  // One answer for two names: name the one that is taken.
  if (socket->FindLink(plan.host.name).Ok()) return created;
  return socket->ErrorOf(EEXIST, {"RTM_NEWLINK", plan.inside.name}, created.Error().detail);
}

Status ApplyAddressing(NetlinkSocket* socket, const LinkPlan& plan) {
  for (const IpPrefix& address : plan.addresses) {
    auto added = AddAddress(socket, plan.name, address);
    if (!added.Ok()) return added;
  }
  for (const RoutePlan& route : plan.routes) {
    auto added = AddRoute(socket, plan.name, route);
    if (!added.Ok()) return added;
  }
  return {};
}

}  // namespace microvm::core
