#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "core/cancellation.h"

namespace microvm::binding {

// A long call that JavaScript may cancel by its number, and hear of. What needs the environment stays in
// AddonData; this is a plain value for the JavaScript thread.
struct Job {
  // `on_progress` is a function or undefined.
  static Job Start(Napi::Env env, Napi::Value on_progress);

  // { id, settled }: what the call returns.
  Napi::Object Object(Napi::Env env, Napi::Value settled) const;
  // To be run before it settles.
  std::function<void(Napi::Env)> End() const;

  uint32_t id = 0;
  std::shared_ptr<core::Cancellation> cancellation;
  // Any thread: bytes done, bytes in all. Empty when nobody wants to hear.
  std::function<void(uint64_t, uint64_t)> progress;
};

}  // namespace microvm::binding
