#include <memory>
#include <utility>

#include "binding/copy_fields.h"
#include "binding/features.h"
#include "binding/layers_fields.h"
#include "binding/reader.h"
#include "binding/start_job.h"
#include "core/image/flatten.h"

namespace microvm::binding {
namespace {

namespace image = core::image;

// Bytes that are no UTF-8 become U+FFFD.
Napi::Value ThrowFault(Napi::Env env, const image::ImageFault& fault) {
  const std::string where =
      "layer " + std::to_string(fault.layer) + (fault.entry.empty() ? "" : ", entry '" + fault.entry + "'");
  Napi::Error error = Napi::Error::New(env, "IMAGE_INVALID: " + where + ": " + fault.reason);
  error.Set("code", Napi::String::New(env, "IMAGE_INVALID"));
  error.Set("layer", Napi::Number::New(env, static_cast<double>(fault.layer)));
  if (!fault.entry.empty()) error.Set("entry", Napi::String::New(env, fault.entry));
  error.Set("reason", Napi::String::New(env, fault.reason));
  error.ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value FactsObject(Napi::Env env, const image::LayerFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("packedBytes", Napi::Number::New(env, static_cast<double>(facts.packed_bytes)));
  object.Set("unpackedBytes", Napi::Number::New(env, static_cast<double>(facts.unpacked_bytes)));
  if (!facts.digest.empty()) object.Set("digest", facts.digest);
  if (!facts.diff_id.empty()) object.Set("diffId", facts.diff_id);
  return object;
}

Napi::Object RootObject(Napi::Env env, const image::Inode& inode) {
  Napi::Object root = Napi::Object::New(env);
  root.Set("mode", Napi::Number::New(env, inode.mode));
  root.Set("uid", Napi::Number::New(env, inode.uid));
  root.Set("gid", Napi::Number::New(env, inode.gid));
  root.Set("mtimeSeconds", Napi::Number::New(env, static_cast<double>(inode.mtime)));
  return root;
}

Napi::Value OutcomeValue(Napi::Env env, image::FlattenOutcome& outcome) {
  if (outcome.fault) return ThrowFault(env, *outcome.fault);
  const auto number = [env](auto value) { return Napi::Number::New(env, static_cast<double>(value)); };
  Napi::Array layers = Napi::Array::New(env, outcome.layers.size());
  for (uint32_t i = 0; i < outcome.layers.size(); ++i) layers.Set(i, FactsObject(env, outcome.layers[i]));
  Napi::Object object = Napi::Object::New(env);
  object.Set("entries", number(outcome.counts.entries));
  object.Set("fileBytes", number(outcome.counts.file_bytes));
  object.Set("streamBytes", number(outcome.counts.stream_bytes));
  object.Set("droppedXattrs", number(outcome.counts.dropped_xattrs));
  object.Set("clampedTimes", number(outcome.counts.clamped_times));
  object.Set("root", RootObject(env, outcome.root));
  object.Set("layers", layers);
  return object;
}

// Tells the job's one function, which knows what it is told by its fields.
void Tell(const std::shared_ptr<Mailbox>& mailbox, uint32_t id, std::function<Napi::Object(Napi::Env)> make) {
  mailbox->Post([id, make = std::move(make)](Napi::Env env) {
    auto& jobs = AddonData::Of(env).jobs;
    const auto running = jobs.find(id);
    if (running != jobs.end() && !running->second.on_progress.IsEmpty()) {
      running->second.on_progress.Call({make(env)});
    }
  });
}

Napi::Object ProgressObject(Napi::Env env, size_t layer, uint64_t done, uint64_t total) {
  Napi::Object progress = Napi::Object::New(env);
  progress.Set("layer", Napi::Number::New(env, static_cast<double>(layer)));
  progress.Set("packedBytes", Napi::Number::New(env, static_cast<double>(done)));
  progress.Set("totalPackedBytes", Napi::Number::New(env, static_cast<double>(total)));
  return progress;
}

// flattenLayers(layers, workDir, output, options) -> { id, settled }. From the moment it returns the output
// is its own.
Napi::Value FlattenLayers(const Napi::CallbackInfo& info) {
  Reader reader(info);
  image::FlattenRequest request;
  request.layers = ReadLayerInputs(&reader, info[0]);
  request.work_dir = reader.String(info[1], "workDir");
  const auto output = static_cast<int>(reader.Integer(info[2], "output", 0, INT32_MAX));
  const Napi::Object options = reader.Object(info[3], "options");
  const Napi::Value limits = options.Get("limits");
  const bool has_limits = !reader.Failed() && !limits.IsUndefined();
  if (has_limits) request.limits = ReadLimits(&reader, reader.Object(limits, "limits"));
  const Napi::Value on_progress = ReadOnProgress(&reader, options);
  if (reader.Failed()) return info.Env().Undefined();
  const auto owned = std::make_shared<UniqueFd>(output);
  request.output = output;
  const auto work = [request, owned, mailbox = AddonData::Of(info.Env()).mailbox](const Job& job) {
    const auto on_progress = [&](size_t layer, uint64_t done, uint64_t total) {
      Tell(mailbox, job.id, [=](Napi::Env env) { return ProgressObject(env, layer, done, total); });
    };
    const auto on_root = [&](const image::Inode& root) {
      Tell(mailbox, job.id, [root](Napi::Env env) { return RootObject(env, root); });
    };
    auto flattened = image::FlattenLayers(request, *job.cancellation, on_progress, on_root);
    owned->Reset();
    return flattened;
  };
  return StartJob<image::FlattenOutcome>(info.Env(), {"mvm-flatten"}, on_progress, work, OutcomeValue);
}

}  // namespace

void RegisterLayers(Napi::Env env, Napi::Object exports) {
  exports.Set("flattenLayers", Napi::Function::New(env, FlattenLayers, "flattenLayers"));
}

}  // namespace microvm::binding
