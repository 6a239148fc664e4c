#include "binding/job.h"

#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/reader.h"

namespace microvm::binding {
namespace {

void ReportProgress(Napi::Env env, uint32_t id, uint64_t done, uint64_t total) {
  auto& jobs = AddonData::Of(env).jobs;
  const auto job = jobs.find(id);
  if (job == jobs.end()) return;
  Napi::Object progress = Napi::Object::New(env);
  progress.Set("copiedBytes", Napi::Number::New(env, static_cast<double>(done)));
  progress.Set("totalBytes", Napi::Number::New(env, static_cast<double>(total)));
  job->second.on_progress.Call({progress});
}

// cancelJob(id) makes it reject with ECANCELED, unless it is past that.
Napi::Value CancelJob(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  auto& jobs = AddonData::Of(info.Env()).jobs;
  const auto job = jobs.find(id);
  if (reader.Failed() || job == jobs.end()) return info.Env().Undefined();
  const auto cancellation = job->second.cancellation;
  cancellation->Cancel();
  AddonData::Of(info.Env()).mailbox->Jobs().RaisePriority(cancellation.get());
  return info.Env().Undefined();
}

}  // namespace

Job Job::Start(Napi::Env env, Napi::Value on_progress) {
  AddonData& data = AddonData::Of(env);
  Job job;
  job.id = ++data.last_id;
  job.cancellation = std::make_shared<core::Cancellation>();
  AddonData::RunningJob running{job.cancellation, {}};
  if (on_progress.IsFunction()) {
    running.on_progress = Napi::Persistent(on_progress.As<Napi::Function>());
    job.progress = [mailbox = data.mailbox, id = job.id](uint64_t done, uint64_t total) {
      mailbox->Post([=](Napi::Env js) { ReportProgress(js, id, done, total); });
    };
  }
  data.jobs.emplace(job.id, std::move(running));
  return job;
}

Napi::Object Job::Object(Napi::Env env, Napi::Value settled) const {
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", id);
  object.Set("settled", settled);
  return object;
}

std::function<void(Napi::Env)> Job::End() const {
  return [id = id](Napi::Env env) { AddonData::Of(env).jobs.erase(id); };
}

void RegisterJob(Napi::Env env, Napi::Object exports) {
  exports.Set("cancelJob", Napi::Function::New(env, CancelJob, "cancelJob"));
}

}  // namespace microvm::binding
