#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/job.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/file_copy.h"

namespace microvm::binding {
namespace {

Napi::Value OutcomeObject(Napi::Env env, core::CopyOutcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("method", outcome.is_reflink ? "reflink" : "copy");
  object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(outcome.size_bytes)));
  object.Set("dataBytes", Napi::Number::New(env, static_cast<double>(outcome.data_bytes)));
  return object;
}

// copyFile(from, to, { durable, sparse, onProgress }) -> { id, settled }
Napi::Value CopyFile(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::CopyRequest request;
  request.from = reader.String(info[0], "from");
  request.to = reader.String(info[1], "to");
  const Napi::Object options = reader.Object(info[2], "options");
  request.durable = reader.OptionalBoolean(options, "durable", false);
  request.punch_zeros = reader.OptionalBoolean(options, "sparse", false);
  const Napi::Value on_progress = options.Get("onProgress");
  const bool is_wrong = on_progress.IsEmpty() || !(on_progress.IsUndefined() || on_progress.IsFunction());
  if (!reader.Failed() && is_wrong) reader.Fail("onProgress", "a function");
  if (reader.Failed()) return info.Env().Undefined();
  const Job job = Job::Start(info.Env(), on_progress);
  const auto work = [request, cancellation = job.cancellation, progress = job.progress] {
    return core::CopyFile(request, *cancellation, progress);
  };
  return job.Object(info.Env(), RunOnOwnThread<core::CopyOutcome>(info.Env(), "mvm-copy", job.cancellation,
                                                                  work, OutcomeObject, job.End()));
}

}  // namespace

void RegisterCopy(Napi::Env env, Napi::Object exports) {
  exports.Set("copyFile", Napi::Function::New(env, CopyFile, "copyFile"));
}

}  // namespace microvm::binding
