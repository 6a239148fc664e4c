#include "binding/copy_fields.h"
#include "binding/features.h"
#include "binding/reader.h"
#include "binding/start_job.h"
#include "core/file_digest.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMinChunk = 4096;
constexpr int64_t kMaxChunk = int64_t{1} << 30;
constexpr int64_t kDefaultChunk = int64_t{4} << 20;

std::string Hex(const core::Sha256& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// digestFile(path, options) -> { id, settled }
Napi::Value DigestFile(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::DigestRequest request;
  request.path = reader.String(info[0], "path");
  const Napi::Object options = reader.Object(info[1], "options");
  if (reader.Failed()) return info.Env().Undefined();
  const auto chunk_bytes = reader.OptionalInteger(options, "chunkBytes", kMinChunk, kMaxChunk);
  request.chunk_bytes = static_cast<uint64_t>(chunk_bytes.value_or(kDefaultChunk));
  request.size = ReadSizeBounds(&reader, options, core::kMaxDigestedBytes);
  if (reader.Failed()) return info.Env().Undefined();
  const auto to_js = [chunk_bytes = request.chunk_bytes](Napi::Env env, core::FileDigest& digest) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(digest.size_bytes)));
    object.Set("chunkBytes", Napi::Number::New(env, static_cast<double>(chunk_bytes)));
    object.Set("root", Hex(digest.root));
    return Napi::Value(object);
  };
  const auto work = [request](const Job& job) { return core::DigestFile(request, *job.cancellation); };
  return StartJob<core::FileDigest>(info.Env(), {"mvm-digest", &core::JobQueue::ForData()},
                                    info.Env().Undefined(), work, to_js);
}

}  // namespace

void RegisterDigest(Napi::Env env, Napi::Object exports) {
  exports.Set("digestFile", Napi::Function::New(env, DigestFile, "digestFile"));
}

}  // namespace microvm::binding
