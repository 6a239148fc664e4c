#include "core/kvm_probe.h"

#include "check.h"

using namespace microvm::core;

namespace {

bool HasOnly(const KvmReport& report, const std::string& code) {
  return !report.usable && report.findings.size() == 1 && report.findings[0].code == code &&
         !report.findings[0].remedy.empty();
}

}  // namespace

TEST(says_what_is_wrong_with_the_device) {
  const microvm::test::TemporaryFolder folder;
  CHECK(HasOnly(ProbeKvm(folder / "none"), "kvm-device-missing"));
  CHECK(HasOnly(ProbeKvm("/dev/null"), "kvm-device-error"));
  CHECK(HasOnly(ProbeKvm(folder.Path()), "kvm-device-error"));
}

TEST(a_device_without_permission_is_named_as_such) {
  const microvm::test::TemporaryFolder folder;
  microvm::test::WriteText(folder / "kvm", "");
  CHECK(chmod((folder / "kvm").c_str(), 0) == 0);
  if (access((folder / "kvm").c_str(), R_OK) == 0) return;
  CHECK(HasOnly(ProbeKvm(folder / "kvm"), "kvm-permission-denied"));
}

TEST(the_real_device_gets_a_verdict_that_agrees_with_its_stages) {
  const KvmReport report = ProbeKvm("/dev/kvm");
  for (const KvmStage& stage : report.stages) {
    printf("     %s: %s\n", stage.name, stage.detail.c_str());
  }
  CHECK(report.usable == report.findings.empty());
  size_t passed = 0;
  for (const KvmStage& stage : report.stages) passed += stage.passed ? 1 : 0;
  CHECK(report.usable == (passed == 6));
  // Only the last stage that was run can have failed.
  for (size_t i = 0; i + 1 < report.stages.size(); ++i) CHECK(report.stages[i].passed);
  CHECK(report.duration_ms < 20000);
}

RUN_TESTS()
