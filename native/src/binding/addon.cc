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

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto data = std::make_unique<AddonData>();
  data->mailbox = Mailbox::Create(env);
  if (!data->mailbox) return exports;
  // SAFETY: Node-API deletes it with the environment.
  env.SetInstanceData(data.release());
  RegisterProcess(env, exports);
  RegisterWatch(env, exports);
  RegisterLock(env, exports);
  RegisterDurable(env, exports);
  RegisterSocket(env, exports);
  RegisterWait(env, exports);
  RegisterListener(env, exports);
  RegisterCopy(env, exports);
  RegisterJail(env, exports);
  RegisterTree(env, exports);
  RegisterDigest(env, exports);
  RegisterDiscard(env, exports);
  RegisterDeliveries(env, exports);
  RegisterJob(env, exports);
  RegisterCgroup(env, exports);
  RegisterHost(env, exports);
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
