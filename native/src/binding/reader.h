#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace microvm::binding {

// Reads arguments. The first wrong one throws a TypeError; from then on every read yields an empty value and
// Failed() is true, so the caller checks once, before any effect. Lives for one call on the JavaScript
// thread.
class Reader {
 public:
  explicit Reader(const Napi::CallbackInfo& info) : env_(info.Env()) {}

  bool Failed() const { return failed_; }
  void Fail(const std::string& name, const std::string& expected);

  // Without NUL; paths and other things for the kernel.
  std::string String(Napi::Value value, const std::string& name, bool may_be_empty = false);
  int64_t Integer(Napi::Value value, const std::string& name, int64_t low, int64_t high);
  bool Boolean(Napi::Value value, const std::string& name);
  Napi::Object Object(Napi::Value value, const std::string& name);
  // Bytes of a Uint8Array, or of a string in UTF-8 where that is allowed; 256 MiB at most.
  std::string Bytes(Napi::Value value, const std::string& name, bool may_be_string);
  std::vector<std::string> Strings(Napi::Value value, const std::string& name);
  // Descriptor numbers; null is -1 where that is allowed.
  std::vector<int> Descriptors(Napi::Value value, const std::string& name, bool may_be_null);

  // Properties of an options object; undefined: empty.
  std::optional<std::string> OptionalString(const Napi::Object& object, const char* name);
  std::optional<int64_t> OptionalInteger(const Napi::Object& object, const char* name, int64_t low,
                                         int64_t high);
  bool OptionalBoolean(const Napi::Object& object, const char* name, bool fallback);

 private:
  Napi::Env env_;
  bool failed_ = false;
};

}  // namespace microvm::binding
