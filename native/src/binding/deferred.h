#pragma once

#include <napi.h>

namespace microvm::binding {

// A promise that is settled once, on the JavaScript thread. Unlike Napi::Promise::Deferred it may be copied
// into tasks of other threads without owning anything, and tells whether JavaScript took the value: an
// environment that is being terminated does not.
class Deferred {
 public:
  explicit Deferred(Napi::Env env) {
    if (napi_create_promise(env, &handle_, &promise_) != napi_ok) handle_ = nullptr;
  }
  // Only in the scope in which it was made.
  Napi::Value Promise(Napi::Env env) const { return Napi::Value(env, promise_); }
  bool Resolve(Napi::Env env, Napi::Value value) const {
    return handle_ != nullptr && napi_resolve_deferred(env, handle_, value) == napi_ok;
  }
  void Reject(Napi::Env env, Napi::Value reason) const {
    if (handle_ != nullptr) static_cast<void>(napi_reject_deferred(env, handle_, reason));
  }

 private:
  napi_deferred handle_ = nullptr;
  napi_value promise_ = nullptr;
};

}  // namespace microvm::binding
