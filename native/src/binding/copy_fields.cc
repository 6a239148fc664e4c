#include "binding/copy_fields.h"

#include <algorithm>

namespace microvm::binding {
namespace {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

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

}  // namespace

Napi::Object OutcomeObject(Napi::Env env, const core::CopyOutcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("method", MethodOf(outcome.method));
  object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(outcome.size_bytes)));
  object.Set("dataBytes", Napi::Number::New(env, static_cast<double>(outcome.data_bytes)));
  return object;
}

core::SizeBounds ReadSizeBounds(Reader* reader, const Napi::Object& options, uint64_t at_most) {
  core::SizeBounds bounds{0, at_most};
  const auto most = reader->OptionalInteger(options, "maxSizeBytes", 0, kMaxSafeInteger);
  const auto exactly = reader->OptionalInteger(options, "expectedSizeBytes", 0, kMaxSafeInteger);
  if (most) bounds.at_most = static_cast<uint64_t>(*most);
  if (exactly) {
    bounds.at_least = static_cast<uint64_t>(*exactly);
    bounds.at_most = most ? std::min(bounds.at_most, bounds.at_least) : bounds.at_least;
  }
  return bounds;
}

Napi::Value ReadOnProgress(Reader* reader, const Napi::Object& options) {
  const Napi::Value on_progress = options.Get("onProgress");
  const bool is_wrong = on_progress.IsEmpty() || !(on_progress.IsUndefined() || on_progress.IsFunction());
  if (!reader->Failed() && is_wrong) reader->Fail("onProgress", "a function");
  return on_progress;
}

}  // namespace microvm::binding
