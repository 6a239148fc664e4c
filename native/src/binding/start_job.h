#pragma once

#include <napi.h>

#include <functional>
#include <utility>

#include "binding/job.h"
#include "binding/promise.h"

namespace microvm::binding {

template <typename T>
using JobWork = std::function<core::Result<T>(const Job&)>;
template <typename T>
using JobSteps = std::function<void(const Job&, const Settler<T>&)>;

// A call that JavaScript may cancel, on a thread of ours: { id, settled }. The work may hand its settler on
// to whoever finishes what it began. `on_progress` is a function or undefined.
template <typename T>
Napi::Value StartJobInSteps(Napi::Env env, const Place& place, Napi::Value on_progress, JobSteps<T> work,
                            ToJs<T> to_js) {
  const Job job = Job::Start(env, on_progress);
  const auto run = [job, work = std::move(work)](const Settler<T>& settle) { work(job, settle); };
  return job.Object(env, RunAndSettle<T>(env, place, job.cancellation, run, std::move(to_js), job.End()));
}

// The same for work whose result settles the call.
template <typename T>
Napi::Value StartJob(Napi::Env env, const Place& place, Napi::Value on_progress, JobWork<T> work,
                     ToJs<T> to_js) {
  const auto steps = [work = std::move(work)](const Job& job, const Settler<T>& settle) {
    settle(work(job));
  };
  return StartJobInSteps<T>(env, place, on_progress, steps, std::move(to_js));
}

}  // namespace microvm::binding
