#include "binding/features.h"
#include "binding/promise.h"
#include "core/kvm_probe.h"

namespace microvm::binding {
namespace {

Napi::Array Findings(Napi::Env env, const core::KvmReport& report) {
  Napi::Array list = Napi::Array::New(env, report.findings.size());
  for (uint32_t i = 0; i < report.findings.size(); ++i) {
    Napi::Object finding = Napi::Object::New(env);
    finding.Set("code", report.findings[i].code);
    finding.Set("message", report.findings[i].message);
    finding.Set("remedy", report.findings[i].remedy);
    list.Set(i, finding);
  }
  return list;
}

Napi::Array Stages(Napi::Env env, const core::KvmReport& report) {
  Napi::Array list = Napi::Array::New(env, report.stages.size());
  for (uint32_t i = 0; i < report.stages.size(); ++i) {
    Napi::Object stage = Napi::Object::New(env);
    stage.Set("name", report.stages[i].name);
    stage.Set("passed", report.stages[i].passed);
    stage.Set("detail", report.stages[i].detail);
    list.Set(i, stage);
  }
  return list;
}

Napi::Value ReportObject(Napi::Env env, core::KvmReport& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("usable", report.usable);
  object.Set("findings", Findings(env, report));
  object.Set("apiVersion",
             report.api_version ? Napi::Value(Napi::Number::New(env, *report.api_version)) : env.Null());
  object.Set("isNested", report.is_nested);
  object.Set("stages", Stages(env, report));
  object.Set("durationMs", report.duration_ms);
  return object;
}

Napi::Value ProbeKvm(const Napi::CallbackInfo& info) {
  // Bounded by itself, so it needs no cancelling.
  const auto work = []() -> core::Result<core::KvmReport> { return core::ProbeKvm("/dev/kvm"); };
  return Run<core::KvmReport>(info.Env(), {"mvm-kvm"}, work, ReportObject);
}

}  // namespace

void RegisterKvm(Napi::Env env, Napi::Object exports) {
  exports.Set("probeKvm", Napi::Function::New(env, ProbeKvm, "probeKvm"));
}

}  // namespace microvm::binding
