#include "binding/promise.h"

#include "core/errno_name.h"

namespace microvm::binding {

Napi::Error MakeSystemError(Napi::Env env, const core::SysError& error) {
  const std::string code = core::ErrnoName(error.number);
  std::string message = code + ": " + core::ErrnoText(error.number) + ", " + error.syscall;
  if (!error.object.empty()) message += " '" + error.object + "'";
  if (!error.path.empty()) message += (error.object.empty() ? " '" : " in '") + error.path + "'";
  if (!error.detail.empty()) message += ": " + error.detail;
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("errno", Napi::Number::New(env, -error.number));
  result.Set("code", Napi::String::New(env, code));
  result.Set("syscall", Napi::String::New(env, error.syscall));
  if (!error.path.empty()) result.Set("path", Napi::String::New(env, error.path));
  if (!error.object.empty()) result.Set("object", Napi::String::New(env, error.object));
  if (!error.detail.empty()) result.Set("detail", Napi::String::New(env, error.detail));
  return result;
}

}  // namespace microvm::binding
