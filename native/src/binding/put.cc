#include <utility>

#include "binding/copy_fields.h"
#include "binding/features.h"
#include "binding/reader.h"
#include "binding/start_job.h"
#include "core/durable_put.h"

namespace microvm::binding {
namespace {

using Source = core::PutRequest::Source;

constexpr int64_t kMaxMode = 07777;
constexpr int64_t kMaxId = UINT32_MAX - 1;

// Exactly one of { data }, { copy }, { move }.
void ReadSource(Reader* reader, const Napi::Object& source, core::PutRequest* request) {
  const auto copied = reader->OptionalString(source, "copy");
  const auto moved = reader->OptionalString(source, "move");
  const bool has_data = !reader->Failed() && source.Has("data");
  if (!reader->Failed() && has_data + copied.has_value() + moved.has_value() != 1) {
    reader->Fail("source", "an object with exactly one of data, copy and move");
  }
  if (reader->Failed()) return;
  if (has_data) request->data = reader->Bytes(source.Get("data"), "source.data", true);
  request->source = has_data ? Source::kData : copied ? Source::kCopy : Source::kMove;
  request->from = copied ? *copied : moved.value_or("");
}

void ReadOptions(Reader* reader, const Napi::Object& options, core::PutRequest* request) {
  if (const auto mode = reader->OptionalInteger(options, "mode", 0, kMaxMode))
    request->mode = static_cast<unsigned>(*mode);
  if (const auto uid = reader->OptionalInteger(options, "uid", 0, kMaxId))
    request->uid = static_cast<uid_t>(*uid);
  if (const auto gid = reader->OptionalInteger(options, "gid", 0, kMaxId))
    request->gid = static_cast<gid_t>(*gid);
  request->punch_zeros = reader->OptionalBoolean(options, "sparse", false);
  request->replaces = reader->OptionalBoolean(options, "replace", true);
  request->size = ReadSizeBounds(reader, options);
}

// On a thread of ours: what takes long. The committer does the rest together with what else waits for it, and
// no thread of ours waits for the committer.
void Put(const core::PutRequest& request, const Job& job, const Settler<core::CopyOutcome>& settle) {
  auto prepared = core::PreparePut(request, *job.cancellation, job.progress);
  if (!prepared.Ok()) return settle(prepared.Error());
  core::DurableChange& change = prepared.Value().change;
  change.done = [settle, outcome = prepared.Value().outcome](const core::Status& status) {
    status.Ok() ? settle(outcome) : settle(status.Error());
  };
  auto submitted = core::DurableCommitter::Instance().Submit(std::move(change));
  if (!submitted.Ok()) settle(submitted.Error());
}

// putDurable(source, target, options) -> { id, settled }
Napi::Value PutDurable(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Napi::Env env = info.Env();
  core::PutRequest request;
  const Napi::Object source = reader.Object(info[0], "source");
  request.target = reader.String(info[1], "target");
  const Napi::Object options = reader.Object(info[2], "options");
  if (reader.Failed()) return env.Undefined();
  ReadSource(&reader, source, &request);
  ReadOptions(&reader, options, &request);
  const Napi::Value on_progress = ReadOnProgress(&reader, options);
  if (reader.Failed()) return env.Undefined();
  // What is small never waits behind a copy.
  const bool is_copy = request.source == Source::kCopy;
  const Place place{"mvm-put", is_copy ? &core::JobQueue::ForData() : &core::JobQueue::ForCalls()};
  const auto work = [request = std::move(request)](const Job& job, const Settler<core::CopyOutcome>& settle) {
    Put(request, job, settle);
  };
  const auto to_js = [](Napi::Env js, core::CopyOutcome& outcome) {
    return Napi::Value(OutcomeObject(js, outcome));
  };
  return StartJobInSteps<core::CopyOutcome>(env, place, on_progress, work, to_js);
}

}  // namespace

void RegisterPut(Napi::Env env, Napi::Object exports) {
  exports.Set("putDurable", Napi::Function::New(env, PutDurable, "putDurable"));
}

}  // namespace microvm::binding
