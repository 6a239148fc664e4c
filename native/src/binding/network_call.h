#pragma once

#include <napi.h>

#include <functional>
#include <optional>
#include <string>

#include "binding/job.h"
#include "binding/network_plan.h"
#include "binding/promise.h"
#include "core/cancellation.h"
#include "core/network/namespace.h"
#include "core/thread.h"

namespace microvm::binding {

template <typename T>
using NetworkWork = std::function<core::Result<T>(const core::Cancellation&)>;
template <typename T>
using SocketWork = std::function<core::Result<T>(core::NetlinkSocket*)>;

// A job on a fresh thread, which may stay in another namespace. It takes its turn with the other calls.
template <typename T>
Napi::Value StartNetworkCall(Napi::Env env, NetworkWork<T> work, ToJs<T> to_js) {
  const Job job = Job::Start(env, env.Undefined());
  const auto in_turn = [cancellation = job.cancellation, work]() -> core::Result<T> {
    core::Result<T> result = core::SysError{ECANCELED, "setns", {}};
    auto started = core::RunOnFreshThread("mvm-net", [&] { result = work(*cancellation); });
    return started.Ok() ? std::move(result) : started.Error();
  };
  const Place place{"mvm-net-turn", &core::JobQueue::ForCalls()};
  return job.Object(env, RunOnThread<T>(env, place, job.cancellation, in_turn, to_js, job.End()));
}

// A deletion waits until the kernel has let go, which takes it as long for one as for many: no turns.
template <typename T>
Napi::Value StartNetworkDeletion(Napi::Env env, NetworkWork<T> work, ToJs<T> to_js) {
  const Job job = Job::Start(env, env.Undefined());
  const auto run = [cancellation = job.cancellation, work] { return work(*cancellation); };
  return job.Object(env, RunOnThread<T>(env, {"mvm-net"}, job.cancellation, run, to_js, job.End()));
}

// The same with a socket in the namespace of the field `netns`, or in our own without it. In a namespace that
// is gone the result is `when_gone`, if there is one.
template <typename T>
Napi::Value StartInNetns(const Fields& fields, SocketWork<T> work, ToJs<T> to_js,
                         std::optional<T> when_gone = std::nullopt) {
  const std::string netns = fields.OptionalText("netns").value_or("");
  const Napi::Env env = fields.Value().Env();
  if (fields.GetReader()->Failed()) return env.Undefined();
  const auto inside = [netns, work, when_gone](const core::Cancellation&) -> core::Result<T> {
    auto socket = core::OpenSocketIn(netns);
    if (socket.Ok()) return work(&socket.Value());
    if (socket.Error().number == ENOENT && when_gone) return *when_gone;
    return socket.Error();
  };
  return StartNetworkCall<T>(env, inside, to_js);
}

// For work that has no value.
inline core::Result<bool> AsResult(const core::Status& status) {
  return status.Ok() ? core::Result<bool>(true) : status.Error();
}
inline Napi::Value ToUndefined(Napi::Env env, bool&) { return env.Undefined(); }

// Whether there was something to delete.
inline Napi::Value ToBoolean(Napi::Env env, bool& value) { return Napi::Boolean::New(env, value); }

}  // namespace microvm::binding
