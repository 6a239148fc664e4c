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

// Runs `work` (plain data, no env) on libuv's pool and settles a promise with its result: for what takes a
// few milliseconds.
template <typename T>
class PromiseWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<core::Result<T>()>;

  static Napi::Value Run(Napi::Env env, Work work, ToJs<T> to_js) {
    // SAFETY: an AsyncWorker deletes itself when it has completed.
    auto* worker = std::make_unique<PromiseWorker>(env, std::move(work), std::move(to_js)).release();
    worker->Queue();
    return worker->deferred_.Promise(env);
  }

  PromiseWorker(Napi::Env env, Work work, ToJs<T> to_js)
      : AsyncWorker(env), work_(std::move(work)), to_js_(std::move(to_js)), deferred_(env) {}

 protected:
  void Execute() override { result_ = std::make_unique<core::Result<T>>(work_()); }
  void OnOK() override { Settle<T>(Env(), deferred_, *result_, to_js_); }

 private:
  const Work work_;
  const ToJs<T> to_js_;
  std::unique_ptr<core::Result<T>> result_;
  const Deferred deferred_;
};

// Where long work runs.
struct Place {
  const char* thread_name;
  // None: a thread of its own, for what may wait.
  core::JobQueue* queue = nullptr;
};

// The same on a thread of ours: for what can take long. The end of the environment cancels it.
// `before_settling` runs on the JavaScript thread in any outcome.
template <typename T>
Napi::Value RunOnThread(Napi::Env env, const Place& place, std::shared_ptr<core::Cancellation> cancellation,
                        std::function<core::Result<T>()> work, ToJs<T> to_js,
                        std::function<void(Napi::Env)> before_settling) {
  const Deferred deferred(env);
  const auto mailbox = AddonData::Of(env).mailbox;
  const auto settle = [mailbox, deferred, to_js, before_settling](Napi::Env js, core::Result<T>& result) {
    mailbox->Drop(js);
    before_settling(js);
    Settle<T>(js, deferred, result, to_js);
  };
  mailbox->Hold(env);
  const auto run = [mailbox, settle, cancellation, work = std::move(work)] {
    // Cancelled before it began: no effect at all.
    core::Result<T> result = core::SysError{ECANCELED, "pthread_create", {}};
    if (!cancellation->IsRequested()) result = work();
    auto shared = std::make_shared<core::Result<T>>(std::move(result));
    mailbox->Post([settle, shared](Napi::Env js) { settle(js, *shared); });
  };
  auto started = mailbox->Jobs().Run(place.queue, {place.thread_name, std::move(cancellation), run});
  if (!started.Ok()) {
    core::Result<T> failed(started.Error());
    settle(env, failed);
  }
  return deferred.Promise(env);
}

}  // namespace microvm::binding
