#include "binding/features.h"
#include "binding/file_job.h"
#include "binding/reader.h"
#include "core/file_copy.h"

namespace microvm::binding {
namespace {

const char* MethodOf(core::CopyMethod method) {
  switch (method) {
    case core::CopyMethod::kReflink:
      return "reflink";
    case core::CopyMethod::kCopyFileRange:
      return "copy_file_range";
    case core::CopyMethod::kCopy:
      break;
  }
  return "copy";
}

Napi::Value OutcomeObject(Napi::Env env, core::CopyOutcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("method", MethodOf(outcome.method));
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
  const auto work = [request](const Job& job) {
    return core::CopyFile(request, *job.cancellation, job.progress);
  };
  return StartJob<core::CopyOutcome>(info.Env(), "mvm-copy", on_progress, work, OutcomeObject);
}

}  // namespace

void RegisterCopy(Napi::Env env, Napi::Object exports) {
  exports.Set("copyFile", Napi::Function::New(env, CopyFile, "copyFile"));
}

}  // namespace microvm::binding
