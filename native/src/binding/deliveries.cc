#include "binding/deliveries.h"

#include <utility>

#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/lent_fd.h"

namespace microvm::binding {

void Deliveries::Add(uint32_t id, TakeBack take_back) { unclaimed_.emplace(id, std::move(take_back)); }

void Deliveries::Claim(uint32_t id) { unclaimed_.erase(id); }

void Deliveries::Return(uint32_t id) {
  const auto delivery = unclaimed_.find(id);
  if (delivery == unclaimed_.end()) return;
  const TakeBack take_back = std::move(delivery->second);
  unclaimed_.erase(delivery);
  take_back();
}

void Deliveries::ReturnAll() {
  for (const auto& [id, take_back] : std::exchange(unclaimed_, {})) take_back();
}

Napi::Value DeliverDescriptor(Napi::Env env, UniqueFd& fd) {
  AddonData& data = AddonData::Of(env);
  const uint32_t id = ++data.last_id;
  const int number = fd.Release();
  // Node closes the streams of an environment before it lets go of addons (Environment::RunCleanup), so a
  // number that names the same file then is nobody's.
  data.deliveries.Add(id, [lent = core::LentFd(number)] { lent.CloseIfSame(); });
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", id);
  object.Set("fd", number);
  return object;
}

namespace {

Napi::Value Claim(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  if (!reader.Failed()) AddonData::Of(info.Env()).deliveries.Claim(id);
  return info.Env().Undefined();
}

Napi::Value Return(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  if (!reader.Failed()) AddonData::Of(info.Env()).deliveries.Return(id);
  return info.Env().Undefined();
}

Napi::Value CloseDescriptor(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto fd = static_cast<int>(reader.Integer(info[0], "fd", 0, INT32_MAX));
  if (reader.Failed()) return info.Env().Undefined();
  const auto closed = core::CloseOwned(fd);
  if (!closed.Ok()) MakeSystemError(info.Env(), closed.Error()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

}  // namespace

void RegisterDeliveries(Napi::Env env, Napi::Object exports) {
  exports.Set("claim", Napi::Function::New(env, Claim, "claim"));
  exports.Set("closeDescriptor", Napi::Function::New(env, CloseDescriptor, "closeDescriptor"));
  exports.Set("giveBack", Napi::Function::New(env, Return, "giveBack"));
}

}  // namespace microvm::binding
