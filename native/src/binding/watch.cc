#include <signal.h>

#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/process_object.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/process_reaper.h"

namespace microvm::binding {
namespace {

// { exitCode, signal }: numbers; null: not so; exitCode undefined: unknown.
Napi::Object EndObject(Napi::Env env, const core::ProcessEnd& end) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("exitCode", end.exit_code ? Napi::Value(Napi::Number::New(env, *end.exit_code))
                         : end.signal  ? env.Null()
                                       : Napi::Value(Napi::String::New(env, "unknown")));
  object.Set("signal", end.signal ? Napi::Value(Napi::Number::New(env, *end.signal)) : env.Null());
  return object;
}

AddonData::Process* Find(Napi::Env env, uint32_t id) {
  auto& processes = AddonData::Of(env).processes;
  const auto found = processes.find(id);
  return found == processes.end() ? nullptr : &found->second;
}

void SetHeld(Napi::Env env, AddonData::Process* process, bool held) {
  if (process->is_held == held) return;
  process->is_held = held;
  const auto& mailbox = AddonData::Of(env).mailbox;
  held ? mailbox->Hold(env) : mailbox->Drop(env);
}

void ReportEnd(Napi::Env env, uint32_t id, const core::ProcessEnd& end) {
  AddonData::Process* process = Find(env, id);
  if (process == nullptr) return;
  SetHeld(env, process, false);
  process->exited.Resolve(env, EndObject(env, end));
  AddonData::Of(env).processes.erase(id);
}

Napi::Object ProcessObject(Napi::Env env, uint32_t id, const core::ProcessIdentity& identity,
                           Napi::Value exited) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", id);
  object.Set("identity", IdentityObject(env, identity));
  object.Set("exited", exited);
  return object;
}

// Of a process that is gone: id 0 is in no table.
Napi::Value GoneObject(Napi::Env env, const core::ProcessIdentity& identity) {
  const Deferred exited(env);
  exited.Resolve(env, EndObject(env, {}));
  return ProcessObject(env, 0, identity, exited.Promise(env));
}

Napi::Value WatchProcess(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const core::ProcessIdentity identity = ReadIdentity(&reader, info[0], "identity");
  if (reader.Failed()) return info.Env().Undefined();
  auto pidfd = core::OpenPidfd(identity);
  if (!pidfd.Ok()) {
    MakeSystemError(info.Env(), pidfd.Error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  if (!pidfd.Value()) return GoneObject(info.Env(), identity);
  return NewProcessObject(info.Env(), std::move(*pidfd.Value()), identity, false);
}

Napi::Value KillProcess(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  const auto signal = static_cast<int>(reader.Integer(info[1], "signal", 0, 64));
  if (reader.Failed()) return info.Env().Undefined();
  const AddonData::Process* process = Find(info.Env(), id);
  if (process == nullptr) return Napi::Boolean::New(info.Env(), false);
  auto sent = process->watched->Kill(signal);
  if (sent.Ok()) return Napi::Boolean::New(info.Env(), sent.Value());
  MakeSystemError(info.Env(), sent.Error()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value HoldProcess(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  const bool held = reader.Boolean(info[1], "held");
  if (reader.Failed()) return info.Env().Undefined();
  AddonData::Process* process = Find(info.Env(), id);
  if (process != nullptr) SetHeld(info.Env(), process, held);
  return info.Env().Undefined();
}

Napi::Value CloseProcess(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  AddonData::Process* process = reader.Failed() ? nullptr : Find(info.Env(), id);
  if (process == nullptr) return info.Env().Undefined();
  SetHeld(info.Env(), process, false);
  process->watched->LetGo();
  AddonData::Of(info.Env()).processes.erase(id);
  return info.Env().Undefined();
}

}  // namespace

Napi::Object IdentityObject(Napi::Env env, const core::ProcessIdentity& identity) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", identity.pid);
  object.Set("startTime", identity.start_time);
  object.Set("bootId", identity.boot_id);
  return object;
}

core::ProcessIdentity ReadIdentity(Reader* reader, Napi::Value value, const std::string& name) {
  const Napi::Object object = reader->Object(value, name);
  core::ProcessIdentity identity;
  identity.pid = static_cast<pid_t>(reader->Integer(object.Get("pid"), name + ".pid", 1, INT32_MAX));
  identity.start_time = reader->String(object.Get("startTime"), name + ".startTime");
  identity.boot_id = reader->String(object.Get("bootId"), name + ".bootId");
  return identity;
}

Napi::Value NewProcessObject(Napi::Env env, UniqueFd pidfd, const core::ProcessIdentity& identity,
                             bool is_child) {
  AddonData& data = AddonData::Of(env);
  const uint32_t id = ++data.last_id;
  const auto on_end = [mailbox = data.mailbox, id](const core::ProcessEnd& end) {
    mailbox->Post([id, end](Napi::Env js) { ReportEnd(js, id, end); });
  };
  auto watched = core::ProcessReaper::Instance().Watch(std::move(pidfd), identity, is_child, on_end);
  if (!watched.Ok()) {
    MakeSystemError(env, watched.Error()).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (is_child) {
    data.deliveries.Add(id, [process = watched.Value()] { static_cast<void>(process->Kill(SIGKILL)); });
  }
  const Deferred exited(env);
  data.processes.emplace(id, AddonData::Process{watched.Value(), exited});
  return ProcessObject(env, id, identity, exited.Promise(env));
}

void RegisterWatch(Napi::Env env, Napi::Object exports) {
  exports.Set("watchProcess", Napi::Function::New(env, WatchProcess, "watchProcess"));
  exports.Set("killProcess", Napi::Function::New(env, KillProcess, "killProcess"));
  exports.Set("holdProcess", Napi::Function::New(env, HoldProcess, "holdProcess"));
  exports.Set("closeProcess", Napi::Function::New(env, CloseProcess, "closeProcess"));
}

}  // namespace microvm::binding
