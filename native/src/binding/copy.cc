#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/file_copy.h"

namespace microvm::binding {
namespace {

void ReportProgress(Napi::Env env, uint32_t id, uint64_t done, uint64_t total) {
  auto& copies = AddonData::Of(env).copies;
  const auto copy = copies.find(id);
  if (copy == copies.end() || copy->second.on_progress.IsEmpty()) return;
  Napi::Object progress = Napi::Object::New(env);
  progress.Set("copiedBytes", Napi::Number::New(env, static_cast<double>(done)));
  progress.Set("totalBytes", Napi::Number::New(env, static_cast<double>(total)));
  copy->second.on_progress.Call({progress});
}

Napi::Value OutcomeObject(Napi::Env env, core::CopyOutcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("method", outcome.is_reflink ? "reflink" : "copy");
  object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(outcome.size_bytes)));
  object.Set("dataBytes", Napi::Number::New(env, static_cast<double>(outcome.data_bytes)));
  return object;
}

// copyFile(from, to, { durable, sparse, onProgress }) -> { id, copied }; cancelCopy(id) makes `copied` reject
// with ECANCELED.
Napi::Value CopyFile(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::CopyRequest request;
  request.from = reader.String(info[0], "from");
  request.to = reader.String(info[1], "to");
  const Napi::Object options = reader.Object(info[2], "options");
  request.durable = reader.OptionalBoolean(options, "durable", false);
  request.punch_zeros = reader.OptionalBoolean(options, "sparse", false);
  const Napi::Value on_progress = options.Get("onProgress");
  const bool is_reported = !reader.Failed() && !on_progress.IsEmpty() && !on_progress.IsUndefined();
  if (is_reported && !on_progress.IsFunction()) reader.Fail("onProgress", "a function");
  if (reader.Failed()) return info.Env().Undefined();

  AddonData& data = AddonData::Of(info.Env());
  const uint32_t id = ++data.last_id;
  auto cancellation = std::make_shared<core::Cancellation>();
  AddonData::Copy copy{cancellation, {}};
  if (is_reported) copy.on_progress = Napi::Persistent(on_progress.As<Napi::Function>());
  data.copies.emplace(id, std::move(copy));

  core::CopyProgress progress;
  if (is_reported) {
    progress = [mailbox = data.mailbox, id](uint64_t done, uint64_t total) {
      mailbox->Post([=](Napi::Env env) { ReportProgress(env, id, done, total); });
    };
  }
  const Napi::Value copied = RunOnOwnThread<core::CopyOutcome>(
      info.Env(), "mvm-copy", cancellation,
      [request, cancellation, progress] { return core::CopyFile(request, *cancellation, progress); },
      OutcomeObject, [id](Napi::Env env) { AddonData::Of(env).copies.erase(id); });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", id);
  result.Set("copied", copied);
  return result;
}

Napi::Value CancelCopy(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "id", 0, UINT32_MAX));
  auto& copies = AddonData::Of(info.Env()).copies;
  const auto copy = copies.find(id);
  if (!reader.Failed() && copy != copies.end()) copy->second.cancellation->Cancel();
  return info.Env().Undefined();
}

}  // namespace

void RegisterCopy(Napi::Env env, Napi::Object exports) {
  exports.Set("copyFile", Napi::Function::New(env, CopyFile, "copyFile"));
  exports.Set("cancelCopy", Napi::Function::New(env, CancelCopy, "cancelCopy"));
}

}  // namespace microvm::binding
