#pragma once

#include <napi.h>

namespace microvm::binding {

// A promise that is settled once, on the JavaScript thread. Unlike Napi::Promise::Deferred it may be copied
// into tasks of other threads without owning anything. That it is settled does not mean that JavaScript hears
// of it: an environment may be terminated before. See Deliveries.
class Deferred {
 public:
  explicit Deferred(Napi::Env env) {
    if (napi_create_promise(env, &handle_, &promise_) != napi_ok) handle_ = nullptr;
  }
  // Only in the scope in which it was made.
  Napi::Value Promise(Napi::Env env) const { return Napi::Value(env, promise_); }
  void Resolve(Napi::Env env, Napi::Value value) const {
    if (handle_ != nullptr) static_cast<void>(napi_resolve_deferred(env, handle_, value));
  }
  void Reject(Napi::Env env, Napi::Value reason) const {
    if (handle_ != nullptr) static_cast<void>(napi_reject_deferred(env, handle_, reason));
  }

 private:
  napi_deferred handle_ = nullptr;
  napi_value promise_ = nullptr;
};

}  // namespace microvm::binding
