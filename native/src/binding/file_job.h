#pragma once

#include <napi.h>

#include <functional>
#include <utility>

#include "binding/job.h"
#include "binding/promise.h"

namespace microvm::binding {

template <typename T>
using JobWork = std::function<core::Result<T>(const Job&)>;

// A job on a thread of ours: { id, settled }. `on_progress` is a function or undefined.
template <typename T>
Napi::Value StartJob(Napi::Env env, const Place& place, Napi::Value on_progress, JobWork<T> work,
                     ToJs<T> to_js) {
  const Job job = Job::Start(env, on_progress);
  const auto run = [job, work = std::move(work)] { return work(job); };
  return job.Object(env, RunOnThread<T>(env, place, job.cancellation, run, std::move(to_js), job.End()));
}

}  // namespace microvm::binding
