#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/process_object.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/wait/socket_wait.h"
#include "core/wait/vsock_wait.h"

namespace microvm::binding {
namespace {

using WaitPtr = std::shared_ptr<core::Wait>;
using BeginWait = std::function<core::Result<WaitPtr>(core::Wait::OnEnd)>;

const char* StageName(core::WaitStage stage) {
  switch (stage) {
    case core::WaitStage::kNoSocket:
      return "no-socket";
    case core::WaitStage::kRefused:
      return "refused";
    case core::WaitStage::kNoAnswer:
      return "no-answer";
    case core::WaitStage::kClosed:
      return "closed";
    case core::WaitStage::kNoConnection:
      return "no-connection";
  }
  return "";
}

Napi::Value WaitError(Napi::Env env, const core::WaitEnd& end) {
  Napi::Error error = MakeSystemError(env, end.socket.Error());
  error.Set("stage", Napi::String::New(env, StageName(end.stage)));
  error.Set("attempts", Napi::Number::New(env, end.attempts));
  return error.Value();
}

void SettleWait(Napi::Env env, uint32_t id, const Deferred& deferred, core::WaitEnd* end) {
  AddonData& data = AddonData::Of(env);
  data.mailbox->Drop(env);
  data.wait.waits.erase(id);
  if (!end->socket.Ok()) return deferred.Reject(env, WaitError(env, *end));
  deferred.Resolve(env, DeliverDescriptor(env, end->socket.Value()));
}

// { id, settled }: `settled` yields a delivered descriptor. `stage` is where it stands at first.
Napi::Value Start(Napi::Env env, core::WaitStage stage, const BeginWait& begin) {
  AddonData& data = AddonData::Of(env);
  const uint32_t id = ++data.last_id;
  const Deferred deferred(env);
  auto wait = begin([mailbox = data.mailbox, id, deferred](core::WaitEnd end) {
    auto shared = std::make_shared<core::WaitEnd>(std::move(end));
    mailbox->Post([=](Napi::Env js) { SettleWait(js, id, deferred, shared.get()); });
  });
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", id);
  object.Set("settled", deferred.Promise(env));
  if (!wait.Ok()) {
    deferred.Reject(env, WaitError(env, {wait.Error(), stage, 0}));
    return object;
  }
  data.mailbox->Hold(env);
  data.wait.waits.emplace(id, std::move(wait.Value()));
  return object;
}

core::WaitRequest ReadRequest(Reader* reader, const Napi::Object& options) {
  core::WaitRequest request;
  const auto limit = reader->OptionalInteger(options, "deadline", 0, INT32_MAX);
  if (limit) request.limit = std::chrono::milliseconds(*limit);
  request.path = reader->String(options.Get("path"), "path");
  const Napi::Value process = options.Get("process");
  if (reader->Failed() || process.IsEmpty() || process.IsUndefined()) return request;
  request.process = ReadIdentity(reader, process, "process");
  return request;
}

Napi::Value WaitForSocket(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Napi::Object options = reader.Object(info[0], "options");
  core::WaitRequest request = ReadRequest(&reader, options);
  if (reader.Failed()) return info.Env().Undefined();
  return Start(info.Env(), core::WaitStage::kNoSocket, [&](core::Wait::OnEnd on_end) {
    return core::SocketWait::Begin(std::move(request), std::move(on_end));
  });
}

Napi::Value WaitForVsock(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Napi::Object options = reader.Object(info[0], "options");
  core::WaitRequest request = ReadRequest(&reader, options);
  const auto port = static_cast<uint32_t>(reader.Integer(options.Get("port"), "port", 0, UINT32_MAX - 1));
  if (reader.Failed()) return info.Env().Undefined();
  return Start(info.Env(), core::WaitStage::kNoSocket, [&](core::Wait::OnEnd on_end) {
    return core::VsockWait::Begin(std::move(request), port, std::move(on_end));
  });
}

// acceptSocket(listenerId, options); a listener that was closed is in no table.
Napi::Value AcceptSocket(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  core::WaitRequest request = ReadRequest(&reader, reader.Object(info[1], "options"));
  if (reader.Failed()) return info.Env().Undefined();
  const auto& listeners = AddonData::Of(info.Env()).wait.listeners;
  const auto found = listeners.find(id);
  return Start(info.Env(), core::WaitStage::kNoConnection,
               [&](core::Wait::OnEnd on_end) -> core::Result<WaitPtr> {
                 if (found == listeners.end()) return core::AcceptWait::ClosedError(request.path);
                 return core::AcceptWait::Begin(found->second, std::move(request), std::move(on_end));
               });
}

Napi::Value CancelWait(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  const auto& waits = AddonData::Of(info.Env()).wait.waits;
  const auto wait = waits.find(id);
  if (!reader.Failed() && wait != waits.end()) wait->second->Cancel();
  return info.Env().Undefined();
}

}  // namespace

void RegisterWait(Napi::Env env, Napi::Object exports) {
  exports.Set("waitForSocket", Napi::Function::New(env, WaitForSocket, "waitForSocket"));
  exports.Set("waitForVsock", Napi::Function::New(env, WaitForVsock, "waitForVsock"));
  exports.Set("acceptSocket", Napi::Function::New(env, AcceptSocket, "acceptSocket"));
  exports.Set("cancelWait", Napi::Function::New(env, CancelWait, "cancelWait"));
}

}  // namespace microvm::binding
