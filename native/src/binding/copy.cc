#include "binding/copy_fields.h"
#include "binding/features.h"
#include "binding/file_job.h"
#include "binding/reader.h"
#include "core/file_copy.h"
#include "core/tree_copy.h"

namespace microvm::binding {
namespace {

Napi::Value TreeObject(Napi::Env env, core::CopiedTree& tree) {
  Napi::Array files = Napi::Array::New(env, tree.files.size());
  for (uint32_t i = 0; i < tree.files.size(); ++i) {
    Napi::Object file = OutcomeObject(env, tree.files[i].outcome);
    file.Set("name", tree.files[i].name);
    files.Set(i, file);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("files", files);
  object.Set("folders", Napi::Number::New(env, static_cast<double>(tree.folders)));
  return object;
}

// What both take: (from, to, { durable, sparse, onProgress }). Answers with onProgress, a function or
// undefined.
template <typename Request>
Napi::Value ReadRequest(const Napi::CallbackInfo& info, Reader* reader, Request* request) {
  request->from = reader->String(info[0], "from");
  request->to = reader->String(info[1], "to");
  const Napi::Object options = reader->Object(info[2], "options");
  request->durable = reader->OptionalBoolean(options, "durable", false);
  request->punch_zeros = reader->OptionalBoolean(options, "sparse", false);
  if constexpr (std::is_same_v<Request, core::CopyRequest>) request->size = ReadSizeBounds(reader, options);
  return ReadOnProgress(reader, options);
}

// copyFile(from, to, options) -> { id, settled }
Napi::Value CopyFile(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::CopyRequest request;
  const Napi::Value on_progress = ReadRequest(info, &reader, &request);
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

// cloneTree(from, to, options) -> { id, settled }
Napi::Value CloneTree(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::TreeCopyRequest request;
  const Napi::Value on_progress = ReadRequest(info, &reader, &request);
  if (reader.Failed()) return info.Env().Undefined();
  const auto work = [request](const Job& job) {
    return core::CopyTree(request, *job.cancellation, job.progress);
  };
  return StartJob<core::CopiedTree>(info.Env(), {"mvm-copy", &core::JobQueue::ForData()}, on_progress, work,
                                    TreeObject);
}

}  // namespace

void RegisterCopy(Napi::Env env, Napi::Object exports) {
  exports.Set("copyFile", Napi::Function::New(env, CopyFile, "copyFile"));
  exports.Set("cloneTree", Napi::Function::New(env, CloneTree, "cloneTree"));
}

}  // namespace microvm::binding
