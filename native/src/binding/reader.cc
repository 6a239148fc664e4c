#include "binding/reader.h"

#include <cmath>

namespace microvm::binding {
namespace {

// What is copied for another thread has a limit: without exceptions a failed allocation ends the process.
constexpr size_t kMaxBytes = 256u << 20;

}  // namespace

void Reader::Fail(const std::string& name, const std::string& expected) {
  if (failed_) return;
  failed_ = true;
  // A getter of the caller may have thrown already; then that stands.
  if (env_.IsExceptionPending()) return;
  Napi::TypeError error = Napi::TypeError::New(env_, "\"" + name + "\" must be " + expected);
  error.Set("code", Napi::String::New(env_, "ERR_INVALID_ARG_TYPE"));
  error.ThrowAsJavaScriptException();
}

std::string Reader::String(Napi::Value value, const std::string& name, bool may_be_empty) {
  if (failed_) return {};
  if (value.IsEmpty() || !value.IsString()) {
    Fail(name, "a string");
    return {};
  }
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.empty() && !may_be_empty) Fail(name, "a string that is not empty");
  if (text.find('\0') != std::string::npos) Fail(name, "a string without null bytes");
  return text;
}

int64_t Reader::Integer(Napi::Value value, const std::string& name, int64_t low, int64_t high) {
  if (failed_) return 0;
  const double number = !value.IsEmpty() && value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (std::trunc(number) == number && number >= static_cast<double>(low) &&
      number <= static_cast<double>(high)) {
    return static_cast<int64_t>(number);
  }
  Fail(name, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
  return 0;
}

bool Reader::Boolean(Napi::Value value, const std::string& name) {
  if (!failed_ && !value.IsEmpty() && value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  Fail(name, "a boolean");
  return false;
}

Napi::Object Reader::Object(Napi::Value value, const std::string& name) {
  if (!failed_ && !value.IsEmpty() && value.IsObject()) return value.As<Napi::Object>();
  Fail(name, "an object");
  return Napi::Object::New(env_);
}

std::string Reader::Bytes(Napi::Value value, const std::string& name, bool may_be_string) {
  if (failed_) return {};
  size_t length = 0;
  if (may_be_string && !value.IsEmpty() && value.IsString()) {
    napi_get_value_string_utf8(env_, value, nullptr, 0, &length);
    if (length <= kMaxBytes) return value.As<Napi::String>().Utf8Value();
    Fail(name, "at most 256 MiB");
    return {};
  }
  if (!value.IsEmpty() && value.IsTypedArray() &&
      value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = value.As<Napi::Uint8Array>();
    if (array.ByteLength() > kMaxBytes) {
      Fail(name, "at most 256 MiB");
      return {};
    }
    // SAFETY: bytes as chars; copied before anything else can run. An empty array may have no memory at all.
    return array.ByteLength() == 0
               ? std::string()
               : std::string(reinterpret_cast<const char*>(array.Data()), array.ByteLength());
  }
  Fail(name, may_be_string ? "a Uint8Array or a string" : "a Uint8Array");
  return {};
}

std::vector<std::string> Reader::Strings(Napi::Value value, const std::string& name) {
  std::vector<std::string> strings;
  if (!failed_ && (value.IsEmpty() || !value.IsArray())) Fail(name, "an array of strings");
  if (failed_) return strings;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length() && !failed_; ++i) {
    strings.push_back(String(array.Get(i), name + "[" + std::to_string(i) + "]", true));
  }
  return strings;
}

std::vector<int> Reader::Descriptors(Napi::Value value, const std::string& name, bool may_be_null) {
  std::vector<int> fds;
  if (!failed_ && (value.IsEmpty() || !value.IsArray())) Fail(name, "an array of descriptors");
  if (failed_) return fds;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length() && !failed_; ++i) {
    const Napi::Value element = array.Get(i);
    const bool is_null = may_be_null && !element.IsEmpty() && element.IsNull();
    fds.push_back(
        is_null ? -1
                : static_cast<int>(Integer(element, name + "[" + std::to_string(i) + "]", 0, INT32_MAX)));
  }
  return fds;
}

std::optional<std::string> Reader::OptionalString(const Napi::Object& object, const char* name) {
  if (failed_) return std::nullopt;
  const Napi::Value value = object.Get(name);
  if (!value.IsEmpty() && value.IsUndefined()) return std::nullopt;
  return String(value, name);
}

std::optional<int64_t> Reader::OptionalInteger(const Napi::Object& object, const char* name, int64_t low,
                                               int64_t high) {
  if (failed_) return std::nullopt;
  const Napi::Value value = object.Get(name);
  if (!value.IsEmpty() && value.IsUndefined()) return std::nullopt;
  return Integer(value, name, low, high);
}

bool Reader::OptionalBoolean(const Napi::Object& object, const char* name, bool fallback) {
  if (failed_) return fallback;
  const Napi::Value value = object.Get(name);
  if (!value.IsEmpty() && value.IsUndefined()) return fallback;
  return Boolean(value, name);
}

}  // namespace microvm::binding
