#include <napi.h>

#include <memory>

#include "binding/addon_data.h"
#include "binding/features.h"

namespace microvm::binding {

AddonData::~AddonData() {
  deliveries.ReturnAll();
  // The processes go on; their ends are nobody's business any more.
  for (auto& [id, process] : processes) process.watched->LetGo();
}

namespace {

// takeTurns(setImmediate), before any other call.
Napi::Value TakeTurns(const Napi::CallbackInfo& info) {
  AddonData::Of(info.Env()).set_immediate = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto data = std::make_unique<AddonData>();
  data->mailbox = Mailbox::Create(env);
  if (!data->mailbox) return exports;
  // SAFETY: Node-API deletes it with the environment.
  env.SetInstanceData(data.release());
  exports.Set("takeTurns", Napi::Function::New(env, TakeTurns, "takeTurns"));
  RegisterProcess(env, exports);
  RegisterSearch(env, exports);
  RegisterWatch(env, exports);
  RegisterLock(env, exports);
  RegisterDurable(env, exports);
  RegisterPut(env, exports);
  RegisterSocket(env, exports);
  RegisterWait(env, exports);
  RegisterListener(env, exports);
  RegisterLayers(env, exports);
  RegisterCopy(env, exports);
  RegisterJail(env, exports);
  RegisterTree(env, exports);
  RegisterTreeStream(env, exports);
  RegisterDigest(env, exports);
  RegisterDiscard(env, exports);
  RegisterDeliveries(env, exports);
  RegisterJob(env, exports);
  RegisterCgroup(env, exports);
  RegisterKvm(env, exports);
  RegisterNetwork(env, exports);
  RegisterNetworkLinks(env, exports);
  return exports;
}

}  // namespace
}  // namespace microvm::binding

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return microvm::binding::Init(env, exports);
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, InitAddon)
