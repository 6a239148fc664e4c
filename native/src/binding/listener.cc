#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/wait/socket_listener.h"

namespace microvm::binding {
namespace {

using ListenerPtr = std::shared_ptr<core::SocketListener>;

constexpr int64_t kMaxId = UINT32_MAX - 1;  // the last one means "no change" to chown(2)

void SettleListener(Napi::Env env, const Deferred& deferred, core::Result<ListenerPtr>* opened) {
  AddonData& data = AddonData::Of(env);
  data.mailbox->Drop(env);
  if (!opened->Ok()) return deferred.Reject(env, MakeSystemError(env, opened->Error()).Value());
  const uint32_t id = ++data.last_id;
  data.wait.listeners.emplace(id, opened->Value());
  // With its file, which stays when a listener merely goes.
  data.deliveries.Add(id, [listener = opened->Value()] { listener->Close([] {}); });
  deferred.Resolve(env, Napi::Number::New(env, id));
}

// listenSocket({ path, mode, backlog, uid, gid })
Napi::Value ListenSocket(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Napi::Object argument = reader.Object(info[0], "options");
  const std::string path = reader.String(argument.Get("path"), "path");
  core::ListenOptions options;
  options.mode = static_cast<unsigned>(reader.Integer(argument.Get("mode"), "mode", 0, 0777));
  options.backlog = static_cast<int>(reader.Integer(argument.Get("backlog"), "backlog", 1, INT32_MAX));
  const auto uid = reader.OptionalInteger(argument, "uid", 0, kMaxId);
  const auto gid = reader.OptionalInteger(argument, "gid", 0, kMaxId);
  if (reader.Failed()) return info.Env().Undefined();
  if (uid) options.uid = static_cast<uid_t>(*uid);
  if (gid) options.gid = static_cast<gid_t>(*gid);
  const Napi::Env env = info.Env();
  const auto mailbox = AddonData::Of(env).mailbox;
  const Deferred deferred(env);
  const auto on_open = [mailbox, deferred](core::Result<ListenerPtr> opened) {
    auto shared = std::make_shared<core::Result<ListenerPtr>>(std::move(opened));
    mailbox->Post([=](Napi::Env js) { SettleListener(js, deferred, shared.get()); });
  };
  auto started = core::SocketListener::Open(path, options, on_open);
  if (started.Ok()) {
    mailbox->Hold(env);
  } else {
    deferred.Reject(env, MakeSystemError(env, started.Error()).Value());
  }
  return deferred.Promise(env);
}

Napi::Value CloseListener(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  AddonData& data = AddonData::Of(info.Env());
  const auto found = data.wait.listeners.find(id);
  if (!reader.Failed() && found == data.wait.listeners.end()) reader.Fail("id", "the number of a listener");
  if (reader.Failed()) return info.Env().Undefined();
  const Deferred deferred(info.Env());
  data.mailbox->Hold(info.Env());
  found->second->Close([mailbox = data.mailbox, deferred] {
    mailbox->Post([mailbox, deferred](Napi::Env js) {
      mailbox->Drop(js);
      deferred.Resolve(js, js.Undefined());
    });
  });
  data.wait.listeners.erase(found);
  data.deliveries.Claim(id);
  return deferred.Promise(info.Env());
}

}  // namespace

void RegisterListener(Napi::Env env, Napi::Object exports) {
  exports.Set("listenSocket", Napi::Function::New(env, ListenSocket, "listenSocket"));
  exports.Set("closeListener", Napi::Function::New(env, CloseListener, "closeListener"));
}

}  // namespace microvm::binding
