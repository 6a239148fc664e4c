#include "binding/network_plan.h"

#include <algorithm>
#include <set>

namespace microvm::binding {
namespace {

constexpr int64_t kMaxId = UINT32_MAX - 1;  // -1 means "nobody" to the TUN driver
constexpr int64_t kMinMtu = 68;             // RFC 791
constexpr int64_t kMaxMtu = 65535;

core::LinkPlan ReadLink(const Fields& fields) {
  core::LinkPlan link;
  link.name = LinkName(fields, "name");
  link.settings = ReadSettings(fields);
  if (!link.settings.is_up) link.settings.is_up = true;
  const auto addresses = fields.Texts("addresses");
  for (size_t i = 0; i < addresses.size(); ++i) {
    const auto address = core::ParseIpPrefix(addresses[i]);
    if (address) link.addresses.push_back(*address);
    if (!address) {
      fields.GetReader()->Fail(fields.Name("addresses") + "[" + std::to_string(i) + "]",
                               "an address with the length of its prefix, such as 10.0.0.1/30");
    }
  }
  for (const Fields& route : fields.Objects("routes")) link.routes.push_back(ReadRoute(route));
  return link;
}

// "net.ipv4.ip_forward" or "net/ipv4/ip_forward": only what a namespace has of its own, nothing else of the
// host.
std::string SysctlPath(std::string name) {
  if (name.find('/') == std::string::npos) std::replace(name.begin(), name.end(), '.', '/');
  const bool is_plain = name.find_first_not_of(
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789_-./") == std::string::npos;
  const bool is_below = name.find("..") == std::string::npos && name.find("//") == std::string::npos;
  return name.rfind("net/", 0) == 0 && name.back() != '/' && is_plain && is_below ? name : std::string();
}

void ReadSysctls(const Fields& fields, core::SlotPlan* plan) {
  Reader* reader = fields.GetReader();
  const Napi::Value value = fields.Value().Get("sysctls");
  if (reader->Failed() || (!value.IsEmpty() && value.IsUndefined())) return;
  const Fields sysctls(reader, value, fields.Name("sysctls"));
  const Napi::Array names = sysctls.Value().GetPropertyNames();
  for (uint32_t i = 0; i < names.Length() && !reader->Failed(); ++i) {
    const std::string name = reader->String(names.Get(i), fields.Name("sysctls"));
    const std::string path = SysctlPath(name);
    if (path.empty()) reader->Fail(sysctls.Name(name), "a name that begins with \"net.\"");
    plan->sysctls.emplace_back(path, sysctls.Text(name.c_str()));
  }
}

void CheckNames(const Fields& fields, const core::SlotPlan& plan) {
  std::set<std::string> inside{"lo"};
  std::set<std::string> host;
  bool are_unique = true;
  for (const auto& tap : plan.taps) are_unique &= inside.insert(tap.link.name).second;
  for (const auto& veth : plan.veths) {
    are_unique &= inside.insert(veth.inside.name).second;
    are_unique &= host.insert(veth.host.name).second;
  }
  if (!are_unique) fields.GetReader()->Fail("plan", "a plan in which every link has a name of its own");
}

}  // namespace

core::LinkSettings ReadSettings(const Fields& fields) {
  core::LinkSettings settings;
  settings.is_up = fields.OptionalFlag("up");
  if (const auto mtu = fields.OptionalInteger("mtu", kMinMtu, kMaxMtu)) {
    settings.mtu = static_cast<uint32_t>(*mtu);
  }
  if (const auto text = fields.OptionalText("mac")) {
    settings.mac = core::ParseMacAddress(*text);
    const bool is_multicast = settings.mac && (settings.mac->front() & 1) != 0;
    if (!settings.mac || is_multicast || *settings.mac == core::MacAddress{}) {
      fields.GetReader()->Fail(fields.Name("mac"),
                               "the MAC address of one station, such as 02:00:00:00:00:01");
    }
  }
  return settings;
}

core::RoutePlan ReadRoute(const Fields& fields) {
  core::RoutePlan route;
  route.via = OptionalAddress(fields, "via");
  route.source = OptionalAddress(fields, "source");
  route.is_on_link = fields.OptionalFlag("onLink").value_or(false);
  if (const auto metric = fields.OptionalInteger("metric", 0, UINT32_MAX)) {
    route.metric = static_cast<uint32_t>(*metric);
  }
  const std::string to = fields.Text("to");
  Reader* reader = fields.GetReader();
  if (to == "default" && route.via) {
    route.to.address.family = route.via->family;
  } else if (!reader->Failed()) {
    route.to = Prefix(fields, "to");
    if (route.to.HasHostBits()) reader->Fail(fields.Name("to"), "a network: no bits set behind the prefix");
  }
  const int family = route.to.address.family;
  if ((route.via && route.via->family != family) || (route.source && route.source->family != family)) {
    reader->Fail(fields.Name("via"), "of the same family as \"to\", and so \"source\"");
  }
  return route;
}

core::TapPlan ReadTap(const Fields& fields) {
  core::TapPlan tap;
  tap.link = ReadLink(fields);
  if (const auto owner = fields.OptionalInteger("owner", 0, kMaxId)) tap.owner = static_cast<uid_t>(*owner);
  if (const auto group = fields.OptionalInteger("group", 0, kMaxId)) tap.group = static_cast<gid_t>(*group);
  tap.has_vnet_header = fields.OptionalFlag("vnetHdr").value_or(false);
  tap.is_multi_queue = fields.OptionalFlag("multiQueue").value_or(false);
  return tap;
}

core::VethPlan ReadVeth(const Fields& fields) {
  core::VethPlan veth;
  veth.inside = ReadLink(fields);
  veth.host = ReadLink(Fields(fields.GetReader(), fields.Value().Get("host"), fields.Name("host")));
  return veth;
}

core::SlotPlan ReadSlot(const Fields& fields) {
  core::SlotPlan plan;
  plan.netns = fields.Text("netns");
  ReadSysctls(fields, &plan);
  for (const Fields& tap : fields.Objects("taps")) plan.taps.push_back(ReadTap(tap));
  for (const Fields& veth : fields.Objects("veths")) plan.veths.push_back(ReadVeth(veth));
  if (!fields.GetReader()->Failed()) CheckNames(fields, plan);
  return plan;
}

}  // namespace microvm::binding
