#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/file_discard.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

Napi::Value DiscardFront(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  const auto keep = static_cast<uint64_t>(reader.Integer(info[1], "keepBytes", 0, kMaxSafeInteger));
  if (reader.Failed()) return info.Env().Undefined();
  return RunShort<core::DiscardOutcome>(
      info.Env(), [=] { return core::DiscardFront(path, keep); },
      [](Napi::Env env, core::DiscardOutcome& outcome) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(outcome.size)));
        result.Set("startBytes", Napi::Number::New(env, static_cast<double>(outcome.start)));
        return result;
      });
}

}  // namespace

void RegisterDiscard(Napi::Env env, Napi::Object exports) {
  exports.Set("discardFront", Napi::Function::New(env, DiscardFront, "discardFront"));
}

}  // namespace microvm::binding
