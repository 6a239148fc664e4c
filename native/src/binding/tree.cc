#include <fcntl.h>

#include "binding/features.h"
#include "binding/reader.h"
#include "binding/start_job.h"
#include "core/remove_tree.h"
#include "core/root_directory.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxMode = 0777;

// openBeneath(root, name, flags, mode) -> { id, settled }
Napi::Value OpenBeneath(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string root = reader.String(info[0], "root");
  const std::string name = reader.String(info[1], "name");
  const auto flags = static_cast<int>(reader.Integer(info[2], "flags", 0, INT32_MAX));
  const auto mode = static_cast<unsigned>(reader.Integer(info[3], "mode", 0, kMaxMode));
  constexpr int kKnown = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_NOFOLLOW |
                         O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME | O_LARGEFILE | O_CLOEXEC;
  if (!reader.Failed() && !core::IsBeneathName(name)) {
    reader.Fail("name", "a relative path without empty components, \".\" and \"..\"");
  }
  if ((flags & ~kKnown) != 0 || (flags & O_ACCMODE) == O_ACCMODE) reader.Fail("flags", "those of a file");
  if (reader.Failed()) return info.Env().Undefined();
  const auto work = [=](const Job& job) -> core::Result<UniqueFd> {
    auto directory = core::RootDirectory::Open(root);
    if (!directory.Ok()) return directory.Error();
    auto file = directory.Value().OpenFileOrSocket(name, flags, mode);
    if (job.cancellation->IsRequested()) return core::SysError{ECANCELED, "openat2", root};
    return file;
  };
  return StartJob<UniqueFd>(info.Env(), {"mvm-open", &core::JobQueue::ForCalls()}, info.Env().Undefined(),
                            work, DeliverDescriptor);
}

Napi::Value RemovedObject(Napi::Env env, core::RemovedTree& removed) {
  Napi::Array left = Napi::Array::New(env, removed.left.size());
  for (uint32_t i = 0; i < removed.left.size(); ++i) {
    left.Set(i, MakeSystemError(env, removed.left[i]).Value());
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("files", Napi::Number::New(env, static_cast<double>(removed.files)));
  object.Set("folders", Napi::Number::New(env, static_cast<double>(removed.directories)));
  object.Set("left", left);
  object.Set("leftCount", Napi::Number::New(env, static_cast<double>(removed.left_count)));
  return object;
}

// removeTree(path) -> { id, settled }
Napi::Value RemoveTree(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  if (reader.Failed()) return info.Env().Undefined();
  const auto work = [path](const Job& job) -> core::Result<core::RemovedTree> {
    auto removed = core::RemoveTree(path, *job.cancellation);
    if (removed.is_cancelled) return core::SysError{ECANCELED, "unlink", path};
    return removed;
  };
  return StartJob<core::RemovedTree>(info.Env(), {"mvm-remove", &core::JobQueue::ForCalls()},
                                     info.Env().Undefined(), work, RemovedObject);
}

}  // namespace

void RegisterTree(Napi::Env env, Napi::Object exports) {
  exports.Set("openBeneath", Napi::Function::New(env, OpenBeneath, "openBeneath"));
  exports.Set("removeTree", Napi::Function::New(env, RemoveTree, "removeTree"));
}

}  // namespace microvm::binding
