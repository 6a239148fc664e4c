#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/job.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/errno_name.h"
#include "core/host/host_findings.h"
#include "core/host/host_probe.h"

namespace microvm::binding {
namespace {

Napi::Value Number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

// The name of an error, or null for none.
Napi::Value ErrorName(Napi::Env env, int number) {
  return number == 0 ? env.Null() : Napi::Value(Napi::String::New(env, core::ErrnoName(number)));
}

Napi::Value Text(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::Value(Napi::String::New(env, text));
}

template <typename T, typename Convert>
Napi::Array List(Napi::Env env, const std::vector<T>& items, Convert convert) {
  Napi::Array list = Napi::Array::New(env, items.size());
  for (uint32_t i = 0; i < items.size(); ++i) list.Set(i, convert(items[i]));
  return list;
}

Napi::Array Strings(Napi::Env env, const std::vector<std::string>& items) {
  return List(env, items, [env](const std::string& item) { return Napi::String::New(env, item); });
}

Napi::Object Cgroup(Napi::Env env, const core::CgroupFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  const bool has_v2 = !facts.v2_mount.empty();
  const char* version = has_v2 ? (facts.has_v1 ? "hybrid" : "v2") : (facts.has_v1 ? "v1" : "none");
  object.Set("version", version);
  object.Set("v1Controllers", Strings(env, facts.v1_controllers));
  object.Set("mount", Text(env, facts.v2_mount));
  object.Set("own", Text(env, facts.own));
  object.Set("base", Text(env, facts.base));
  object.Set("baseError", ErrorName(env, facts.base_error));
  object.Set("controllers", Strings(env, facts.controllers));
  object.Set("isOccupied", facts.is_base_occupied);
  object.Set("hasKill", facts.has_kill);
  return object;
}

Napi::Object Memory(Napi::Env env, const core::MemoryFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("totalBytes", Number(env, facts.total_bytes));
  object.Set("availableBytes", Number(env, facts.available_bytes));
  object.Set("swapTotalBytes", Number(env, facts.swap_total_bytes));
  object.Set("swapFreeBytes", Number(env, facts.swap_free_bytes));
  object.Set("hugePages", List(env, facts.huge_pages, [env](const core::HugePageFacts& size) {
               Napi::Object entry = Napi::Object::New(env);
               entry.Set("pageBytes", Number(env, size.page_bytes));
               entry.Set("total", Number(env, size.total));
               entry.Set("free", Number(env, size.free));
               return entry;
             }));
  return object;
}

Napi::Object Path(Napi::Env env, const core::PathFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", facts.path);
  object.Set("error", ErrorName(env, facts.error));
  object.Set("fileSystem", Text(env, facts.file_system));
  object.Set("deviceId", Number(env, facts.device));
  object.Set("totalBytes", Number(env, facts.total_bytes));
  object.Set("availableBytes", Number(env, facts.available_bytes));
  object.Set("isInMemory", facts.is_in_memory);
  object.Set("hasDevices", !facts.has_no_devices);
  object.Set("hasExecutables", !facts.has_no_executables);
  object.Set("writeError", ErrorName(env, facts.write_error));
  object.Set("hasReflink", facts.has_reflink);
  return object;
}

Napi::Object Finding(Napi::Env env, const core::HostFinding& finding) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("code", finding.code);
  object.Set("feature", finding.feature);
  object.Set("message", finding.message);
  object.Set("remedy", finding.remedy);
  return object;
}

Napi::Value Report(Napi::Env env, core::HostFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("findings",
             List(env, core::FindingsOf(facts), [env](const auto& item) { return Finding(env, item); }));
  object.Set("kernel", facts.kernel);
  object.Set("cgroup", Cgroup(env, facts.cgroup));
  Napi::Object namespaces = Napi::Object::New(env);
  for (const auto& fact : facts.namespaces) namespaces.Set(fact.name, ErrorName(env, fact.error));
  object.Set("namespaceErrors", namespaces);
  object.Set("nftablesError", ErrorName(env, facts.nftables_error));
  object.Set("tunError", ErrorName(env, facts.tun_error));
  Napi::Object userfaultfd = Napi::Object::New(env);
  userfaultfd.Set("error", ErrorName(env, facts.userfaultfd.error));
  userfaultfd.Set("bySyscall", facts.userfaultfd.by_syscall);
  userfaultfd.Set("byDevice", facts.userfaultfd.by_device);
  object.Set("userfaultfd", userfaultfd);
  object.Set("memory", Memory(env, facts.memory));
  object.Set("paths", List(env, facts.paths, [env](const auto& item) { return Path(env, item); }));
  return object;
}

// probeHost(paths) -> { id, settled }
Napi::Value ProbeHost(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::vector<std::string> paths = reader.Strings(info[0], "paths");
  for (const std::string& path : paths) {
    if (path.empty()) reader.Fail("paths", "an array of paths");
  }
  if (reader.Failed()) return info.Env().Undefined();
  const Job job = Job::Start(info.Env(), info.Env().Undefined());
  const auto work = [paths, cancellation = job.cancellation] {
    return core::ProbeHost(paths, *cancellation);
  };
  return job.Object(info.Env(),
                    RunOnThread<core::HostFacts>(info.Env(), {"mvm-host", &core::JobQueue::ForCalls()},
                                                 job.cancellation, work, Report, job.End()));
}

}  // namespace

void RegisterHost(Napi::Env env, Napi::Object exports) {
  exports.Set("probeHost", Napi::Function::New(env, ProbeHost, "probeHost"));
}

}  // namespace microvm::binding
