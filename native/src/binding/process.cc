#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "binding/features.h"
#include "binding/process_object.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/process_spawn.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxId = UINT32_MAX - 1;  // -1 means "unchanged" to setresuid
constexpr int64_t kMaxLimit = (int64_t{1} << 53) - 1;
constexpr size_t kMaxDescriptors = 1024;

struct LimitName {
  const char* name;
  int resource;
};
constexpr LimitName kLimits[] = {
    {"openFiles", RLIMIT_NOFILE},          {"fileSizeBytes", RLIMIT_FSIZE},  {"coreSizeBytes", RLIMIT_CORE},
    {"lockedMemoryBytes", RLIMIT_MEMLOCK}, {"addressSpaceBytes", RLIMIT_AS}, {"processes", RLIMIT_NPROC},
};

void ReadLimits(Reader* reader, const Napi::Object& options, core::SpawnRequest* request) {
  const Napi::Value value = options.Get("limits");
  if (reader->Failed() || value.IsEmpty() || value.IsUndefined()) return;
  const Napi::Object limits = reader->Object(value, "limits");
  for (const LimitName& limit : kLimits) {
    const auto number = reader->OptionalInteger(limits, limit.name, 0, kMaxLimit);
    if (number) request->limits.push_back({limit.resource, static_cast<rlim_t>(*number)});
  }
}

// A spawn with copies of the caller's descriptors, so that the caller may close its own at once.
struct Job {
  core::SpawnRequest request;
  std::vector<UniqueFd> copies;
  core::Status copied;
};

void CopyDescriptors(const std::vector<int>& fds, Job* job) {
  for (const int fd : fds) {
    UniqueFd copy(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (fd >= 0 && !copy) job->copied = core::SysError::Last("fcntl");
    job->request.fds.push_back(copy.Get());
    job->copies.push_back(std::move(copy));
  }
}

std::shared_ptr<Job> ReadJob(Reader* reader, const Napi::Object& options) {
  auto job = std::make_shared<Job>();
  core::SpawnRequest& request = job->request;
  request.file = reader->String(options.Get("file"), "file");
  request.args = reader->Strings(options.Get("args"), "args");
  request.args.insert(request.args.begin(), request.file);
  request.env = reader->Strings(options.Get("env"), "env");
  const auto fds = reader->Descriptors(options.Get("fds"), "fds", true);
  if (fds.size() > kMaxDescriptors) reader->Fail("fds", "an array of at most 1024 descriptors");
  request.cwd = reader->OptionalString(options, "cwd").value_or("");
  request.cgroup = reader->OptionalString(options, "cgroup").value_or("");
  request.netns = reader->OptionalString(options, "netns").value_or("");
  if (const auto uid = reader->OptionalInteger(options, "uid", 0, kMaxId))
    request.uid = static_cast<uid_t>(*uid);
  if (const auto gid = reader->OptionalInteger(options, "gid", 0, kMaxId))
    request.gid = static_cast<gid_t>(*gid);
  ReadLimits(reader, options, &request);
  if (!reader->Failed()) CopyDescriptors(fds, job.get());
  return job;
}

Napi::Value SpawnProcess(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const Napi::Object options = reader.Object(info[0], "options");
  if (reader.Failed()) return info.Env().Undefined();
  const auto job = ReadJob(&reader, options);
  if (reader.Failed()) return info.Env().Undefined();
  const auto work = [job]() -> core::Result<core::SpawnedChild> {
    if (!job->copied.Ok()) return job->copied.Error();
    return core::Spawn(job->request);
  };
  return RunShort<core::SpawnedChild>(info.Env(), work, [](Napi::Env env, core::SpawnedChild& child) {
    return NewProcessObject(env, std::move(child.pidfd), child.identity, true);
  });
}

Napi::Value ProcessIdentity(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto pid = static_cast<pid_t>(reader.Integer(info[0], "pid", 1, INT32_MAX));
  if (reader.Failed()) return info.Env().Undefined();
  auto identity = core::IdentifyProcess(pid);
  if (!identity.Ok()) {
    MakeSystemError(info.Env(), identity.Error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  if (!identity.Value()) return info.Env().Undefined();
  return IdentityObject(info.Env(), *identity.Value());
}

Napi::Value BootId(const Napi::CallbackInfo& info) {
  auto id = core::ReadBootId();
  if (id.Ok()) return Napi::String::New(info.Env(), id.Value());
  MakeSystemError(info.Env(), id.Error()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

}  // namespace

void RegisterProcess(Napi::Env env, Napi::Object exports) {
  exports.Set("spawnProcess", Napi::Function::New(env, SpawnProcess, "spawnProcess"));
  exports.Set("processIdentity", Napi::Function::New(env, ProcessIdentity, "processIdentity"));
  exports.Set("bootId", Napi::Function::New(env, BootId, "bootId"));
}

}  // namespace microvm::binding
