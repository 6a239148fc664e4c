#include "binding/features.h"
#include "binding/reader.h"
#include "binding/start_job.h"
#include "core/cgroup/cgroup_create.h"
#include "core/cgroup/cgroup_kill.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxTimeoutMs = INT32_MAX;

// createCgroup(path, files, values) -> { id, settled }; files[i] is written values[i].
Napi::Value CreateCgroup(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  const std::vector<std::string> files = reader.Strings(info[1], "files");
  const std::vector<std::string> values = reader.Strings(info[2], "values");
  if (files.size() != values.size()) reader.Fail("values", "as many as files");
  if (reader.Failed()) return info.Env().Undefined();
  std::vector<core::CgroupSetting> settings;
  for (size_t i = 0; i < files.size(); ++i) settings.push_back({files[i], values[i]});
  const auto work = [path, settings](const Job&) -> core::Result<bool> {
    auto created = core::CreateCgroup(path, settings);
    return created.Ok() ? core::Result<bool>(true) : created.Error();
  };
  const auto to_js = [](Napi::Env env, bool&) { return env.Undefined(); };
  return StartJob<bool>(info.Env(), {"mvm-cgroup", &core::JobQueue::ForCalls()}, info.Env().Undefined(), work,
                        to_js);
}

Napi::Value EndObject(Napi::Env env, core::CgroupEnd& end) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("existed", Napi::Boolean::New(env, end.existed));
  object.Set("oomKills", end.oom_kills
                             ? Napi::Value(Napi::Number::New(env, static_cast<double>(*end.oom_kills)))
                             : env.Null());
  return object;
}

// killCgroup(path, timeoutMs) -> { id, settled }
Napi::Value KillCgroup(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::CgroupKillRequest request;
  request.path = reader.String(info[0], "path");
  request.timeout = std::chrono::milliseconds(reader.Integer(info[1], "timeoutMs", 0, kMaxTimeoutMs));
  if (reader.Failed()) return info.Env().Undefined();
  const auto work = [request](const Job& job) { return core::KillCgroup(request, *job.cancellation); };
  return StartJob<core::CgroupEnd>(info.Env(), {"mvm-cgroup"}, info.Env().Undefined(), work, EndObject);
}

}  // namespace

void RegisterCgroup(Napi::Env env, Napi::Object exports) {
  exports.Set("createCgroup", Napi::Function::New(env, CreateCgroup, "createCgroup"));
  exports.Set("killCgroup", Napi::Function::New(env, KillCgroup, "killCgroup"));
}

}  // namespace microvm::binding
