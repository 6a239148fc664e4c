#include "binding/copy_fields.h"
#include "binding/features.h"
#include "binding/reader.h"
#include "binding/start_job.h"
#include "core/file_copy.h"

namespace microvm::binding {
namespace {

// copyFile(from, to, options) -> { id, settled }
Napi::Value CopyFile(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::CopyRequest request;
  request.from = reader.String(info[0], "from");
  request.to = reader.String(info[1], "to");
  const Napi::Object options = reader.Object(info[2], "options");
  request.durable = reader.OptionalBoolean(options, "durable", false);
  request.punch_zeros = reader.OptionalBoolean(options, "sparse", false);
  request.size = ReadSizeBounds(&reader, options);
  const Napi::Value on_progress = ReadOnProgress(&reader, options);
  if (reader.Failed()) return info.Env().Undefined();
  const auto work = [request](const Job& job) {
    return core::CopyFile(request, *job.cancellation, job.progress);
  };
  const auto to_js = [](Napi::Env env, core::CopyOutcome& outcome) {
    return Napi::Value(OutcomeObject(env, outcome));
  };
  return StartJob<core::CopyOutcome>(info.Env(), {"mvm-copy", &core::JobQueue::ForData()}, on_progress, work,
                                     to_js);
}

}  // namespace

void RegisterCopy(Napi::Env env, Napi::Object exports) {
  exports.Set("copyFile", Napi::Function::New(env, CopyFile, "copyFile"));
}

}  // namespace microvm::binding
