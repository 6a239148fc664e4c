#include "binding/features.h"
#include "binding/process_object.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/process_search.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxId = UINT32_MAX - 1;
constexpr int64_t kMaxDeadlineMs = 60'000;

core::ProcessQuery ReadQuery(Reader* reader, const Napi::Object& object) {
  core::ProcessQuery query;
  const Napi::Value pids = reader->Failed() ? Napi::Value() : object.Get("pids");
  if (!reader->Failed() && !pids.IsUndefined()) query.pids = reader->Pids(pids, "pids");
  if (const auto uid = reader->OptionalInteger(object, "uid", 0, kMaxId))
    query.uid = static_cast<uid_t>(*uid);
  query.cgroup = reader->OptionalString(object, "cgroup").value_or("");
  query.root = reader->OptionalString(object, "root").value_or("");
  query.cwd = reader->OptionalString(object, "cwd").value_or("");
  query.argument = reader->OptionalString(object, "argument").value_or("");
  if (const auto deadline = reader->OptionalInteger(object, "deadlineMs", 1, kMaxDeadlineMs)) {
    query.deadline = std::chrono::milliseconds(*deadline);
  }
  return query;
}

Napi::Array TextsArray(Napi::Env env, const std::vector<std::string>& texts) {
  Napi::Array array = Napi::Array::New(env, texts.size());
  for (uint32_t i = 0; i < texts.size(); ++i) array.Set(i, texts[i]);
  return array;
}

Napi::Object FoundObject(Napi::Env env, const core::FoundProcess& process) {
  Napi::Object object = IdentityObject(env, process.identity);
  object.Set("uid", Napi::Number::New(env, process.uid));
  object.Set("root", process.root);
  object.Set("cwd", process.cwd);
  object.Set("cgroup", process.cgroup);
  object.Set("args", TextsArray(env, process.args));
  return object;
}

Napi::Object UnansweredObject(Napi::Env env, const core::UnansweredProcess& process) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", process.pid);
  if (!process.start_time.empty()) object.Set("startTime", process.start_time);
  if (process.uid) object.Set("uid", Napi::Number::New(env, *process.uid));
  return object;
}

Napi::Value ResultObject(Napi::Env env, core::ProcessSearchResult& result) {
  Napi::Array found = Napi::Array::New(env, result.found.size());
  for (uint32_t i = 0; i < result.found.size(); ++i) found.Set(i, FoundObject(env, result.found[i]));
  Napi::Array unanswered = Napi::Array::New(env, result.unanswered.size());
  for (uint32_t i = 0; i < result.unanswered.size(); ++i) {
    unanswered.Set(i, UnansweredObject(env, result.unanswered[i]));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("found", found);
  object.Set("unanswered", unanswered);
  return object;
}

// searchProcesses(query) -> promise
Napi::Value SearchProcesses(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const core::ProcessQuery query = ReadQuery(&reader, reader.Object(info[0], "query"));
  if (reader.Failed()) return info.Env().Undefined();
  return Run<core::ProcessSearchResult>(
      info.Env(), {"mvm-find", &core::JobQueue::ForSearches()},
      [query] { return core::SearchProcesses(query); }, ResultObject);
}

}  // namespace

void RegisterSearch(Napi::Env env, Napi::Object exports) {
  exports.Set("searchProcesses", Napi::Function::New(env, SearchProcesses, "searchProcesses"));
}

}  // namespace microvm::binding
