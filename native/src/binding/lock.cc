#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/directory_lock.h"

namespace microvm::binding {
namespace {

Napi::Error HeldError(Napi::Env env, const std::string& path, const core::LockHolder& holder) {
  Napi::Error error = MakeSystemError(env, core::SysError{EWOULDBLOCK, "flock", path + "/lock"});
  std::string message = "EWOULDBLOCK: directory is locked";
  if (holder.pid) message += " by process " + std::to_string(*holder.pid);
  error.Set("message", Napi::String::New(env, message + ", flock '" + path + "/lock'"));
  error.Set("code", Napi::String::New(env, "EWOULDBLOCK"));
  if (holder.pid) error.Set("pid", Napi::Number::New(env, *holder.pid));
  if (!holder.start_time.empty()) error.Set("startTime", Napi::String::New(env, holder.start_time));
  return error;
}

Napi::Value LockDirectory(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  if (reader.Failed()) return info.Env().Undefined();
  return RunShort<core::LockOutcome>(
      info.Env(), [path] { return core::LockDirectory(path); },
      [path](Napi::Env env, core::LockOutcome& outcome) -> Napi::Value {
        if (const auto* holder = std::get_if<core::LockHolder>(&outcome)) {
          HeldError(env, path, *holder).ThrowAsJavaScriptException();
          return env.Undefined();
        }
        AddonData& data = AddonData::Of(env);
        const uint32_t id = ++data.last_id;
        data.locks.emplace(id, std::move(*std::get_if<UniqueFd>(&outcome)));
        return Napi::Number::New(env, id);
      });
}

Napi::Value UnlockDirectory(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  auto& locks = AddonData::Of(info.Env()).locks;
  const auto lock = locks.find(id);
  if (reader.Failed() || lock == locks.end()) return info.Env().Undefined();
  core::UnlockDirectory(std::move(lock->second));
  locks.erase(lock);
  return info.Env().Undefined();
}

}  // namespace

void RegisterLock(Napi::Env env, Napi::Object exports) {
  exports.Set("lockDirectory", Napi::Function::New(env, LockDirectory, "lockDirectory"));
  exports.Set("unlockDirectory", Napi::Function::New(env, UnlockDirectory, "unlockDirectory"));
}

}  // namespace microvm::binding
