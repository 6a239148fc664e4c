#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <utility>

#include "binding/addon_data.h"
#include "binding/deferred.h"
#include "core/result.h"

namespace microvm::binding {

// An error with the fields of Node's own system errors.
Napi::Error MakeSystemError(Napi::Env env, const core::SysError& error);

template <typename T>
using ToJs = std::function<Napi::Value(Napi::Env, T&)>;

template <typename T>
void Settle(Napi::Env env, const Deferred& deferred, core::Result<T>& result, const ToJs<T>& to_js) {
  if (!result.Ok()) {
    deferred.Reject(env, MakeSystemError(env, result.Error()).Value());
    return;
  }
  const Napi::Value value = to_js(env, result.Value());
  // A conversion that failed half-way has left an exception: it becomes the rejection.
  if (env.IsExceptionPending()) {
    deferred.Reject(env, env.GetAndClearPendingException().Value());
  } else {
    deferred.Resolve(env, value);
  }
}

// Where work runs.
struct Place {
  const char* thread_name;
  // None: a thread of its own, for what may wait.
  core::JobQueue* queue = nullptr;
};

template <typename T>
core::Result<T> Cancelled() {
  return core::SysError{ECANCELED, "pthread_create", {}};
}

// Settles a promise; any thread, once.
template <typename T>
using Settler = std::function<void(core::Result<T>)>;

// Runs `work` (plain data, no env) on a thread of ours. The work settles the promise, or hands the settler on
// to whoever finishes what it began. The end of the environment cancels the work. `before_settling` runs on
// the JavaScript thread in any outcome.
template <typename T>
Napi::Value RunAndSettle(Napi::Env env, const Place& place, std::shared_ptr<core::Cancellation> cancellation,
                         std::function<void(const Settler<T>&)> work, ToJs<T> to_js,
                         std::function<void(Napi::Env)> before_settling) {
  const Deferred deferred(env);
  const auto mailbox = AddonData::Of(env).mailbox;
  const auto settle = [mailbox, deferred, to_js, before_settling](Napi::Env js, core::Result<T>& result) {
    mailbox->Drop(js);
    before_settling(js);
    Settle<T>(js, deferred, result, to_js);
  };
  mailbox->Hold(env);
  const Settler<T> settler = [mailbox, settle](core::Result<T> result) {
    auto shared = std::make_shared<core::Result<T>>(std::move(result));
    mailbox->Post([settle, shared](Napi::Env js) { settle(js, *shared); });
  };
  const auto run = [settler, cancellation, work = std::move(work)] {
    // Cancelled before it began: no effect at all.
    cancellation->IsRequested() ? settler(Cancelled<T>()) : work(settler);
  };
  auto started = mailbox->Jobs().Run(place.queue, {place.thread_name, std::move(cancellation), run});
  if (!started.Ok()) {
    core::Result<T> failed(started.Error());
    settle(env, failed);
  }
  return deferred.Promise(env);
}

// For a call that JavaScript does not cancel, with work whose result settles the promise.
template <typename T>
Napi::Value Run(Napi::Env env, const Place& place, std::function<core::Result<T>()> work, ToJs<T> to_js) {
  const auto run = [work = std::move(work)](const Settler<T>& settle) { settle(work()); };
  return RunAndSettle<T>(env, place, std::make_shared<core::Cancellation>(), run, std::move(to_js),
                         [](Napi::Env) {});
}

// The same for what takes a few milliseconds.
template <typename T>
Napi::Value RunShort(Napi::Env env, std::function<core::Result<T>()> work, ToJs<T> to_js) {
  return Run<T>(env, {"mvm-call", &core::JobQueue::ForShortCalls()}, std::move(work), std::move(to_js));
}

}  // namespace microvm::binding
