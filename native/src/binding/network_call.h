#pragma once

#include <napi.h>

#include <functional>
#include <optional>
#include <string>

#include "binding/network_plan.h"
#include "binding/start_job.h"
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
  const auto in_turn = [work](const Job& job) -> core::Result<T> {
    core::Result<T> result = core::SysError{ECANCELED, "setns", {}};
    auto started = core::RunOnFreshThread("mvm-net", [&] { result = work(*job.cancellation); });
    return started.Ok() ? std::move(result) : started.Error();
  };
  return StartJob<T>(env, {"mvm-net-turn", &core::JobQueue::ForCalls()}, env.Undefined(), in_turn, to_js);
}

// A deletion waits until the kernel has let go, which takes it as long for one as for many: no turns.
template <typename T>
Napi::Value StartNetworkDeletion(Napi::Env env, NetworkWork<T> work, ToJs<T> to_js) {
  const auto run = [work](const Job& job) { return work(*job.cancellation); };
  return StartJob<T>(env, {"mvm-net"}, env.Undefined(), run, to_js);
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
