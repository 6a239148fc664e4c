#include "binding/features.h"
#include "binding/network_call.h"
#include "binding/network_plan.h"
#include "core/network/slot.h"
#include "core/network/tap.h"

namespace microvm::binding {
namespace {

using core::Cancellation;

constexpr int64_t kMaxTimeoutMs = INT32_MAX;

Napi::Value CreateNetns(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  if (reader.Failed()) return info.Env().Undefined();
  return StartNetworkCall<bool>(
      info.Env(), [path](const Cancellation&) { return AsResult(core::CreateNamespace(path)); }, ToUndefined);
}

Napi::Value DeleteNetns(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  const std::chrono::milliseconds limit(reader.Integer(info[1], "timeoutMs", 0, kMaxTimeoutMs));
  if (reader.Failed()) return info.Env().Undefined();
  return StartNetworkDeletion<bool>(
      info.Env(),
      [=](const Cancellation& cancellation) { return core::DeleteNamespace(path, limit, cancellation); },
      ToBoolean);
}

Napi::Value NetnsExists(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  if (reader.Failed()) return info.Env().Undefined();
  return StartNetworkCall<bool>(
      info.Env(), [path](const Cancellation&) { return core::NamespaceExists(path); }, ToBoolean);
}

Napi::Value CreateNetworkSlot(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const core::SlotPlan plan = ReadSlot(Fields(&reader, info[0], "plan"));
  if (reader.Failed()) return info.Env().Undefined();
  return StartNetworkCall<bool>(
      info.Env(),
      [plan](const Cancellation& cancellation) { return AsResult(core::CreateSlot(plan, cancellation)); },
      ToUndefined);
}

Napi::Value DeleteNetworkSlot(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const core::SlotPlan plan = ReadSlot(Fields(&reader, info[0], "plan"));
  if (reader.Failed()) return info.Env().Undefined();
  return StartNetworkDeletion<bool>(
      info.Env(), [plan](const Cancellation& cancellation) { return core::DeleteSlot(plan, cancellation); },
      ToBoolean);
}

Napi::Value CreateTap(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "tap");
  const core::TapPlan plan = ReadTap(fields);
  return StartInNetns<bool>(
      fields, [plan](core::NetlinkSocket* socket) { return AsResult(core::CreateTap(socket, plan)); },
      ToUndefined);
}

Napi::Value CreateVeth(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Fields fields(&reader, info[0], "veth");
  const core::VethPlan plan = ReadVeth(fields);
  const std::string netns = fields.OptionalText("netns").value_or("");
  if (reader.Failed()) return info.Env().Undefined();
  return StartNetworkCall<bool>(
      info.Env(), [=](const Cancellation&) { return AsResult(core::CreateVeth(netns, plan)); }, ToUndefined);
}

}  // namespace

void RegisterNetwork(Napi::Env env, Napi::Object exports) {
  exports.Set("createNetns", Napi::Function::New(env, CreateNetns, "createNetns"));
  exports.Set("deleteNetns", Napi::Function::New(env, DeleteNetns, "deleteNetns"));
  exports.Set("netnsExists", Napi::Function::New(env, NetnsExists, "netnsExists"));
  exports.Set("createNetworkSlot", Napi::Function::New(env, CreateNetworkSlot, "createNetworkSlot"));
  exports.Set("deleteNetworkSlot", Napi::Function::New(env, DeleteNetworkSlot, "deleteNetworkSlot"));
  exports.Set("createTap", Napi::Function::New(env, CreateTap, "createTap"));
  exports.Set("createVeth", Napi::Function::New(env, CreateVeth, "createVeth"));
}

}  // namespace microvm::binding
