#include "binding/features.h"
#include "binding/network_call.h"
#include "binding/network_plan.h"
#include "binding/network_records.h"
#include "core/network/address.h"
#include "core/network/link.h"
#include "core/network/link_watch.h"
#include "core/network/route.h"

namespace microvm::binding {
namespace {

using core::NetlinkSocket;

Napi::Value AddAddress(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "address");
  const std::string link = LinkName(fields, "link");
  const core::IpPrefix address = Prefix(fields, "address");
  return StartInNetns<bool>(
      fields, [=](NetlinkSocket* socket) { return AsResult(core::AddAddress(socket, link, address)); },
      ToUndefined);
}

Napi::Value DeleteAddress(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "address");
  const std::string link = LinkName(fields, "link");
  const core::IpPrefix address = Prefix(fields, "address");
  return StartInNetns<bool>(
      fields, [=](NetlinkSocket* socket) { return core::DeleteAddress(socket, link, address); }, ToBoolean,
      false);
}

Napi::Value AddRoute(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "route");
  const std::string link = LinkName(fields, "link");
  const core::RoutePlan route = ReadRoute(fields);
  return StartInNetns<bool>(
      fields, [=](NetlinkSocket* socket) { return AsResult(core::AddRoute(socket, link, route)); },
      ToUndefined);
}

Napi::Value DeleteRoute(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "route");
  const std::string link = LinkName(fields, "link");
  const core::RoutePlan route = ReadRoute(fields);
  return StartInNetns<bool>(
      fields, [=](NetlinkSocket* socket) { return core::DeleteRoute(socket, link, route); }, ToBoolean,
      false);
}

Napi::Value SetLink(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "settings");
  const std::string link = LinkName(fields, "link");
  core::LinkSettings settings = ReadSettings(fields);
  if (fields.OptionalText("name")) settings.new_name = LinkName(fields, "name");
  return StartInNetns<bool>(
      fields, [=](NetlinkSocket* socket) { return AsResult(core::ChangeLink(socket, link, settings)); },
      ToUndefined);
}

Napi::Value DeleteLink(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "link");
  const std::string link = LinkName(fields, "link");
  return StartInNetns<bool>(
      fields, [=](NetlinkSocket* socket) { return core::RemoveLink(socket, link); }, ToBoolean, false);
}

Napi::Value ListLinks(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "target");
  return StartInNetns<std::vector<core::LinkRecord>>(fields, core::ListLinks, LinkList);
}

Napi::Value ListAddresses(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "target");
  return StartInNetns<std::vector<core::AddressRecord>>(fields, core::ListAddresses, AddressList);
}

Napi::Value ListRoutes(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "target");
  return StartInNetns<std::vector<core::RouteRecord>>(fields, core::ListRoutes, RouteList);
}

}  // namespace

void RegisterNetworkLinks(Napi::Env env, Napi::Object exports) {
  exports.Set("addAddress", Napi::Function::New(env, AddAddress, "addAddress"));
  exports.Set("deleteAddress", Napi::Function::New(env, DeleteAddress, "deleteAddress"));
  exports.Set("addRoute", Napi::Function::New(env, AddRoute, "addRoute"));
  exports.Set("deleteRoute", Napi::Function::New(env, DeleteRoute, "deleteRoute"));
  exports.Set("setLink", Napi::Function::New(env, SetLink, "setLink"));
  exports.Set("deleteLink", Napi::Function::New(env, DeleteLink, "deleteLink"));
  exports.Set("listLinks", Napi::Function::New(env, ListLinks, "listLinks"));
  exports.Set("listAddresses", Napi::Function::New(env, ListAddresses, "listAddresses"));
  exports.Set("listRoutes", Napi::Function::New(env, ListRoutes, "listRoutes"));
}

}  // namespace microvm::binding
