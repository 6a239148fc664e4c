#pragma once

#include <napi.h>

namespace microvm::binding {

// One for each file of this folder; each adds its functions to the exports.
void RegisterProcess(Napi::Env env, Napi::Object exports);
void RegisterSearch(Napi::Env env, Napi::Object exports);
void RegisterWatch(Napi::Env env, Napi::Object exports);
void RegisterLock(Napi::Env env, Napi::Object exports);
void RegisterDurable(Napi::Env env, Napi::Object exports);
void RegisterPut(Napi::Env env, Napi::Object exports);
void RegisterSocket(Napi::Env env, Napi::Object exports);
void RegisterWait(Napi::Env env, Napi::Object exports);
void RegisterListener(Napi::Env env, Napi::Object exports);
void RegisterLayers(Napi::Env env, Napi::Object exports);
void RegisterCopy(Napi::Env env, Napi::Object exports);
void RegisterJail(Napi::Env env, Napi::Object exports);
void RegisterTree(Napi::Env env, Napi::Object exports);
void RegisterTreeStream(Napi::Env env, Napi::Object exports);
void RegisterDigest(Napi::Env env, Napi::Object exports);
void RegisterDiscard(Napi::Env env, Napi::Object exports);
void RegisterDeliveries(Napi::Env env, Napi::Object exports);
void RegisterJob(Napi::Env env, Napi::Object exports);
void RegisterCgroup(Napi::Env env, Napi::Object exports);
void RegisterKvm(Napi::Env env, Napi::Object exports);
void RegisterNetwork(Napi::Env env, Napi::Object exports);
void RegisterNetworkLinks(Napi::Env env, Napi::Object exports);

}  // namespace microvm::binding
