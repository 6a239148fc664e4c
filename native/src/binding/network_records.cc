#include "binding/network_records.h"

// Before the kernel's headers, which then leave out what it has.
#include <net/if.h>
// clang-format keeps the two apart.
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

namespace microvm::binding {
namespace {

struct NumberName {
  unsigned number;
  const char* name;
};
constexpr NumberName kScopes[] = {{RT_SCOPE_UNIVERSE, "global"},
                                  {RT_SCOPE_SITE, "site"},
                                  {RT_SCOPE_LINK, "link"},
                                  {RT_SCOPE_HOST, "host"},
                                  {RT_SCOPE_NOWHERE, "nowhere"}};
constexpr NumberName kTypes[] = {
    {RTN_UNICAST, "unicast"},         {RTN_LOCAL, "local"},         {RTN_BROADCAST, "broadcast"},
    {RTN_ANYCAST, "anycast"},         {RTN_MULTICAST, "multicast"}, {RTN_BLACKHOLE, "blackhole"},
    {RTN_UNREACHABLE, "unreachable"}, {RTN_PROHIBIT, "prohibit"},   {RTN_THROW, "throw"},
};
constexpr NumberName kProtocols[] = {
    {RTPROT_REDIRECT, "redirect"}, {RTPROT_KERNEL, "kernel"}, {RTPROT_BOOT, "boot"},
    {RTPROT_STATIC, "static"},     {RTPROT_RA, "ra"},         {RTPROT_DHCP, "dhcp"}};

template <size_t kCount>
std::string NameOf(const NumberName (&names)[kCount], unsigned number) {
  for (const NumberName& entry : names) {
    if (entry.number == number) return entry.name;
  }
  return std::to_string(number);
}

Napi::Value TextOrNull(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::String::New(env, text);
}

template <typename T>
Napi::Value NumberOrNull(Napi::Env env, const std::optional<T>& number) {
  return number ? Napi::Value(Napi::Number::New(env, *number)) : env.Null();
}

Napi::Value AddressOrNull(Napi::Env env, const std::optional<core::IpAddress>& address) {
  return address ? Napi::Value(Napi::String::New(env, core::FormatIp(*address))) : env.Null();
}

std::string KindOf(const core::LinkRecord& link) {
  return link.tun && link.tun->is_tap ? std::string("tap") : link.kind;
}

Napi::Value PeerObject(Napi::Env env, const core::LinkRecord& link) {
  if (link.kind != "veth" || !link.peer_index) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", *link.peer_index);
  object.Set("netnsId", NumberOrNull(env, link.peer_netns_id));
  return object;
}

Napi::Value TapObject(Napi::Env env, const core::LinkRecord& link) {
  if (!link.tun || !link.tun->is_tap) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("owner", NumberOrNull(env, link.tun->owner));
  object.Set("group", NumberOrNull(env, link.tun->group));
  object.Set("persistent", link.tun->is_persistent);
  object.Set("vnetHdr", link.tun->has_vnet_header);
  object.Set("multiQueue", link.tun->is_multi_queue);
  return object;
}

Napi::Object LinkObject(Napi::Env env, const core::LinkRecord& link) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", link.index);
  object.Set("name", link.name);
  object.Set("kind", TextOrNull(env, KindOf(link)));
  object.Set("up", (link.flags & IFF_UP) != 0);
  object.Set("carrier", (link.flags & IFF_LOWER_UP) != 0);
  object.Set("mac", TextOrNull(env, link.mac));
  object.Set("mtu", link.mtu);
  object.Set("alias", TextOrNull(env, link.alias));
  object.Set("peer", PeerObject(env, link));
  object.Set("tap", TapObject(env, link));
  return object;
}

Napi::Object AddressObject(Napi::Env env, const core::AddressRecord& address) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("link", TextOrNull(env, address.link));
  object.Set("address", core::FormatIp(address.address));
  object.Set("peer", AddressOrNull(env, address.peer));
  object.Set("scope", NameOf(kScopes, address.scope));
  object.Set("tentative", (address.flags & IFA_F_TENTATIVE) != 0);
  object.Set("duplicate", (address.flags & IFA_F_DADFAILED) != 0);
  return object;
}

Napi::Object RouteObject(Napi::Env env, const core::RouteRecord& route) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("to", core::FormatIp(route.to));
  object.Set("via", AddressOrNull(env, route.via));
  object.Set("link", TextOrNull(env, route.link));
  object.Set("source", AddressOrNull(env, route.source));
  object.Set("metric", route.metric);
  object.Set("type", NameOf(kTypes, route.type));
  object.Set("scope", NameOf(kScopes, route.scope));
  object.Set("protocol", NameOf(kProtocols, route.protocol));
  return object;
}

template <typename Record>
Napi::Value ListOf(Napi::Env env, const std::vector<Record>& records,
                   Napi::Object (*to_object)(Napi::Env, const Record&)) {
  Napi::Array list = Napi::Array::New(env, records.size());
  for (uint32_t i = 0; i < records.size(); ++i) list.Set(i, to_object(env, records[i]));
  return list;
}

}  // namespace

Napi::Value LinkList(Napi::Env env, std::vector<core::LinkRecord>& links) {
  return ListOf(env, links, LinkObject);
}

Napi::Value AddressList(Napi::Env env, std::vector<core::AddressRecord>& addresses) {
  return ListOf(env, addresses, AddressObject);
}

Napi::Value RouteList(Napi::Env env, std::vector<core::RouteRecord>& routes) {
  return ListOf(env, routes, RouteObject);
}

}  // namespace microvm::binding
