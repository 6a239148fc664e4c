#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/pipe.h"
#include "core/unix_socket.h"

namespace microvm::binding {
namespace {

constexpr size_t kMaxDescriptors = 253;  // SCM_MAX_FD

Napi::Value ConnectUnix(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  if (reader.Failed()) return info.Env().Undefined();
  return RunShort<UniqueFd>(
      info.Env(), [path] { return core::ConnectUnix(path); }, DeliverDescriptor);
}

Napi::Value ListenUnix(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  core::ListenOptions options;
  options.mode = static_cast<unsigned>(reader.Integer(info[1], "mode", 0, 0777));
  options.backlog = static_cast<int>(reader.Integer(info[2], "backlog", 1, INT32_MAX));
  if (reader.Failed()) return info.Env().Undefined();
  return RunShort<UniqueFd>(
      info.Env(), [=] { return core::ListenUnix(path, options); }, DeliverDescriptor);
}

// A synchronous call: its result cannot be lost on the way, as that of a promise can.
Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  auto made = core::MakeSocketPair();
  if (!made.Ok()) {
    MakeSystemError(info.Env(), made.Error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  Napi::Array ends = Napi::Array::New(info.Env(), 2);
  ends.Set(0U, made.Value().first.Release());
  ends.Set(1U, made.Value().second.Release());
  return ends;
}

// Synchronous for the same reason.
Napi::Value OpenPipe(const Napi::CallbackInfo& info) {
  auto made = core::MakePipe();
  if (!made.Ok()) {
    MakeSystemError(info.Env(), made.Error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  Napi::Object ends = Napi::Object::New(info.Env());
  ends.Set("read", made.Value().read.Release());
  ends.Set("write", made.Value().write.Release());
  return ends;
}

Napi::Value SendDescriptors(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto socket = static_cast<int>(reader.Integer(info[0], "socketFd", 0, INT32_MAX));
  const std::string data = reader.Bytes(info[1], "data", false);
  const std::vector<int> fds = reader.Descriptors(info[2], "fds", false);
  if (!reader.Failed() && data.empty()) reader.Fail("data", "at least one byte");
  if (!reader.Failed() && (fds.empty() || fds.size() > kMaxDescriptors)) {
    reader.Fail("fds", "an array of 1 to 253 descriptors");
  }
  if (reader.Failed()) return info.Env().Undefined();
  const auto sent = core::SendDescriptors(socket, data, fds);
  if (!sent.Ok()) MakeSystemError(info.Env(), sent.Error()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

}  // namespace

void RegisterSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("connectUnix", Napi::Function::New(env, ConnectUnix, "connectUnix"));
  exports.Set("listenUnix", Napi::Function::New(env, ListenUnix, "listenUnix"));
  exports.Set("socketPair", Napi::Function::New(env, SocketPair, "socketPair"));
  exports.Set("openPipe", Napi::Function::New(env, OpenPipe, "openPipe"));
  exports.Set("sendDescriptors", Napi::Function::New(env, SendDescriptors, "sendDescriptors"));
}

}  // namespace microvm::binding
