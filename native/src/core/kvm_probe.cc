#include "core/kvm_probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "core/errno_name.h"
#include "core/file_io.h"
#include "core/kvm_guest.h"
#include "core/kvm_guest_code.h"

namespace microvm::core {
namespace {

// Generous, since a busy emulated host is slow and still right; a processor needs a millisecond.
constexpr double kProbeMs = 5000;
constexpr KvmTime kStageTime{1500, 400};
constexpr KvmTime kSpeedTime{1500, 200};
static_assert(kvm_guest::kSpeedInstructions / 200 == 10'000,
              "the finding speaks of ten million instructions per second");

constexpr char kNoVirtualisation[] =
    "switch on virtualisation (VT-x or AMD-V) in the firmware and load kvm_intel or kvm_amd; in a virtual "
    "machine ask its provider for "
    "nested virtualisation, or use the QEMU driver, which needs no KVM";
constexpr char kOtherHost[] =
    "use a host whose KVM runs Linux guests: bare metal, or a virtual machine with hardware-assisted nested "
    "virtualisation; the QEMU "
    "driver needs no KVM";

double NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void AddOpenFinding(const SysError& error, const std::string& device, KvmReport* report) {
  const std::string what = device + " cannot be opened: " + ErrnoName(error.number);
  switch (error.number) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      report->findings.push_back({"kvm-device-missing", what, kNoVirtualisation});
      break;
    case EACCES:
    case EPERM:
      report->findings.push_back(
          {"kvm-permission-denied", what,
           "add the user to the group of the device: sudo usermod -aG kvm \"$USER\", then log in again"});
      break;
    case EBUSY:
      report->findings.push_back(
          {"kvm-device-busy", what, "stop the other hypervisor that uses this processor"});
      break;
    default:
      report->findings.push_back({"kvm-device-error", what, "see the kernel log: dmesg | grep -i kvm"});
  }
}

#if defined(__x86_64__)

struct Extension {
  int number;
  const char* name;
};

// What Firecracker asks for on x86-64.
constexpr Extension kExtensions[] = {
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
};

void CheckExtensions(int kvm, KvmReport* report) {
  std::string missing;
  for (const Extension& extension : kExtensions) {
    if (ioctl(kvm, KVM_CHECK_EXTENSION, extension.number) > 0) continue;
    missing += (missing.empty() ? "" : ", ") + std::string(extension.name);
  }
  if (missing.empty()) return;
  report->findings.push_back(
      {"kvm-extension-missing", "KVM lacks " + missing, "use Linux 5.10 or newer with its own KVM modules"});
}

struct StagePlan {
  const char* name;
  KvmGuest::Mode mode;
  bool with_timer;
  char letter;
  const char* failure_code;
  const char* failure;
};

constexpr StagePlan kStages[] = {
    {"real-mode", KvmGuest::Mode::kReal, false, 'R', "kvm-cannot-run-code", "a guest cannot run 16-bit code"},
    {"long-mode", KvmGuest::Mode::kLong, false, 'L', "kvm-cannot-run-code",
     "a guest cannot run 64-bit code with paging"},
    {"exception", KvmGuest::Mode::kLong, false, 'X', "kvm-cannot-handle-exceptions",
     "a guest cannot take an exception in 64-bit mode and return from it, as Linux does when it boots"},
    {"timer-interrupt", KvmGuest::Mode::kLong, true, 'T', "kvm-no-timer-interrupt",
     "a guest gets no timer interrupt"},
    {"kernel-code", KvmGuest::Mode::kLong, false, 'K', "kvm-cannot-run-code",
     "a guest cannot run instructions that the Linux kernel is built of"},
    // A processor does this in a millisecond, an emulated one (QEMU's) in some ten.
    {"speed", KvmGuest::Mode::kLong, false, 'S', "kvm-too-slow",
     "this KVM interprets the kernel code of guests, at less than ten million instructions per second; Linux "
     "would "
     "take minutes to boot"},
};

void LoadProgram(const StagePlan& plan, KvmGuest* guest) {
  switch (plan.letter) {
    case 'K':
      return guest->Load(kvm_guest::KernelCode());
    case 'S':
      return guest->Load(kvm_guest::Speed());
    case 'R':
      return guest->Load(kvm_guest::RealMode());
    case 'L':
      return guest->Load(kvm_guest::LongMode());
    case 'X':
      guest->Load(kvm_guest::Exception());
      guest->SetHandler(6, kvm_guest::InvalidOpcodeHandler());
      return guest->SetHandler(14, kvm_guest::PageFaultHandler());
    default:
      guest->Load(kvm_guest::Timer());
      return guest->SetHandler(kvm_guest::kTimerVector, kvm_guest::TimerHandler());
  }
}

// False when a later stage makes no sense.
bool RunStage(int kvm, const StagePlan& plan, double deadline_ms, KvmReport* report) {
  auto guest = KvmGuest::Create(kvm, plan.mode, plan.with_timer);
  if (!guest.Ok()) {
    const SysError& error = guest.Error();
    report->findings.push_back(
        {"kvm-cannot-create-vm",
         std::string("a virtual machine cannot be made: ") + error.syscall + ": " + ErrnoName(error.number),
         error.number == EBUSY ? "stop the other hypervisor that uses this processor" : kOtherHost});
    return false;
  }
  LoadProgram(plan, &guest.Value());
  KvmTime limit = plan.letter == 'S' ? kSpeedTime : kStageTime;
  limit.wall_ms = std::max(1, std::min(limit.wall_ms, static_cast<int>(deadline_ms - NowMs())));
  const KvmRun run = guest.Value().Run(plan.letter, limit);
  report->stages.push_back({plan.name, run.passed, run.detail});
  if (!run.passed)
    report->findings.push_back({plan.failure_code, plan.failure + (": " + run.detail), kOtherHost});
  return run.passed;
}

bool IsVirtualMachine() {
  auto cpuinfo = ReadSmallFile("/proc/cpuinfo", 1 << 16);
  return cpuinfo.Ok() && cpuinfo.Value().find(" hypervisor") != std::string::npos;
}

void CheckGuests(int kvm, KvmReport* report) {
  report->is_nested = IsVirtualMachine();
  CheckExtensions(kvm, report);
  const double deadline_ms = NowMs() + kProbeMs;
  for (const StagePlan& plan : kStages) {
    if (!RunStage(kvm, plan, deadline_ms, report)) return;
  }
}

#else

void CheckGuests(int, KvmReport* report) {
  report->findings.push_back(
      {"kvm-arch-unsupported", "the probe's guest exists for x86-64 only", "use an x86-64 host"});
}

#endif

void Probe(const std::string& device, KvmReport* report) {
  auto kvm = OpenFile(device, O_RDWR);
  if (!kvm.Ok()) return AddOpenFinding(kvm.Error(), device, report);
  const int version = ioctl(kvm.Value().Get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return AddOpenFinding(SysError::Last("KVM_GET_API_VERSION"), device, report);
  report->api_version = version;
  if (version != KVM_API_VERSION) {
    report->findings.push_back({"kvm-api-version",
                                "KVM has API version " + std::to_string(version) + ", not 12",
                                "use Linux 5.10 or newer with its own KVM modules"});
    return;
  }
  CheckGuests(kvm.Value().Get(), report);
}

}  // namespace

KvmReport ProbeKvm(const std::string& device) {
  const double begin = NowMs();
  KvmReport report;
  Probe(device, &report);
  report.usable = report.findings.empty();
  report.duration_ms = NowMs() - begin;
  return report;
}

}  // namespace microvm::core
