#include "core/kvm_guest.h"

#if defined(__x86_64__)

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "core/kvm_guest_code.h"

namespace microvm::core {
namespace {

namespace layout = kvm_guest;

// Sent to our own thread alone, where it is blocked, so no handler of anybody ever runs.
constexpr int kAlarm = SIGALRM;
constexpr uint64_t kTssAddress = 0xfffbd000;
constexpr size_t kCpuidEntries = 256;

// linux/kvm.h declares these two with flexible arrays, whose C++ form in newer headers has another size and
// so another request number.
struct CpuidTable {
  uint32_t count;
  uint32_t padding;
  kvm_cpuid_entry2 entries[kCpuidEntries];
};
struct SignalMask {
  uint32_t length;
  uint8_t set[8];
};
constexpr unsigned long kGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
constexpr unsigned long kSetCpuid2 = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);
constexpr unsigned long kSetSignalMask = _IOC(_IOC_WRITE, KVMIO, 0x8b, 4);

constexpr uint64_t kCr0ProtectedMode = 1u << 0;
constexpr uint64_t kCr0ExtensionType = 1u << 4;
constexpr uint64_t kCr0NumericError = 1u << 5;
constexpr uint64_t kCr0Paging = 1u << 31;
constexpr uint64_t kCr4PhysicalAddressExtension = 1u << 5;
constexpr uint64_t kEferLongModeEnable = 1u << 8;
constexpr uint64_t kEferLongModeActive = 1u << 10;

Status Control(int fd, unsigned long request, const char* name, void* argument) {
  if (ioctl(fd, request, argument) < 0) return SysError::Last(name);
  return {};
}

Status Control(int fd, unsigned long request, const char* name, unsigned long argument = 0) {
  if (ioctl(fd, request, argument) < 0) return SysError::Last(name);
  return {};
}

sigset_t AlarmOnly() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kAlarm);
  return set;
}

// Interrupts KVM_RUN of the calling thread when the time of the clock is over.
class Alarm {
 public:
  Alarm(clockid_t clock, int timeout_ms) {
    const sigset_t blocked = AlarmOnly();
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = kAlarm;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    is_set_ = timer_create(clock, &event, &timer_) == 0;
    itimerspec when{};
    when.it_value.tv_sec = timeout_ms / 1000;
    when.it_value.tv_nsec = timeout_ms % 1000 * 1'000'000L;
    if (is_set_) is_set_ = timer_settime(timer_, 0, &when, nullptr) == 0;
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm() {
    if (is_set_) timer_delete(timer_);
    const sigset_t pending = AlarmOnly();
    const timespec now{};
    while (sigtimedwait(&pending, nullptr, &now) == kAlarm) {
    }
  }
  bool IsSet() const { return is_set_; }

 private:
  timer_t timer_{};
  bool is_set_ = false;
};

kvm_segment FlatSegment(uint16_t selector, uint8_t type, bool is_code64) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.l = is_code64;
  segment.db = !is_code64;
  return segment;
}

const char* SuberrorName(uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "emulation failure";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "simultaneous exceptions";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "event could not be delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "unexpected exit of the processor";
    default:
      return "unknown";
  }
}

}  // namespace

Result<KvmGuest> KvmGuest::Create(int kvm, Mode mode, bool with_timer) {
  KvmGuest guest;
  guest.memory_ = Mmap::Anonymous(layout::kMemoryBytes);
  if (!guest.memory_) return SysError::Last("mmap");
  Status status = guest.CreateVm(kvm, with_timer);
  if (status.Ok()) status = guest.CreateCpu(kvm);
  if (status.Ok() && with_timer) status = guest.AcceptPicInterrupts();
  if (status.Ok()) status = guest.SetRegisters(mode);
  if (!status.Ok()) return status.Error();
  guest.WriteTables();
  return guest;
}

Status KvmGuest::CreateVm(int kvm, bool with_timer) {
  vm_.Reset(RetryOnSignal([&] { return ioctl(kvm, KVM_CREATE_VM, 0); }));
  if (!vm_) return SysError::Last("KVM_CREATE_VM");
  auto status = Control(vm_.Get(), KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", kTssAddress);
  if (!status.Ok()) return status;
  kvm_userspace_memory_region region{};
  region.memory_size = memory_.Length();
  // SAFETY: the mapping outlives the machine, see the order of the members.
  region.userspace_addr = reinterpret_cast<uint64_t>(memory_.Bytes());
  status = Control(vm_.Get(), KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
  if (!status.Ok() || !with_timer) return status;
  status = Control(vm_.Get(), KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP");
  if (!status.Ok()) return status;
  kvm_pit_config pit{};
  return Control(vm_.Get(), KVM_CREATE_PIT2, "KVM_CREATE_PIT2", &pit);
}

Status KvmGuest::CreateCpu(int kvm) {
  cpu_.Reset(ioctl(vm_.Get(), KVM_CREATE_VCPU, 0));
  if (!cpu_) return SysError::Last("KVM_CREATE_VCPU");
  const int length = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (length < static_cast<int>(sizeof(kvm_run))) return SysError::Last("KVM_GET_VCPU_MMAP_SIZE");
  void* shared =
      mmap(nullptr, static_cast<size_t>(length), PROT_READ | PROT_WRITE, MAP_SHARED, cpu_.Get(), 0);
  if (shared == MAP_FAILED) return SysError::Last("mmap");
  shared_ = Mmap(shared, static_cast<size_t>(length));
  auto status = SetCpuid(kvm);
  return status.Ok() ? BoundBySignal() : status;
}

Status KvmGuest::SetCpuid(int kvm) {
  auto cpuid = std::make_unique<CpuidTable>();
  cpuid->count = kCpuidEntries;
  auto status = Control(kvm, kGetSupportedCpuid, "KVM_GET_SUPPORTED_CPUID", cpuid.get());
  return status.Ok() ? Control(cpu_.Get(), kSetCpuid2, "KVM_SET_CPUID2", cpuid.get()) : status;
}

// LINT0 takes the old interrupt controller's line, as firmware sets it up.
Status KvmGuest::AcceptPicInterrupts() {
  constexpr size_t kLint0 = 0x350;
  constexpr uint32_t kExternalInterrupt = 0x700;
  kvm_lapic_state lapic{};
  auto status = Control(cpu_.Get(), KVM_GET_LAPIC, "KVM_GET_LAPIC", &lapic);
  if (!status.Ok()) return status;
  memcpy(lapic.regs + kLint0, &kExternalInterrupt, sizeof kExternalInterrupt);
  return Control(cpu_.Get(), KVM_SET_LAPIC, "KVM_SET_LAPIC", &lapic);
}

// The only signal that gets through while the guest runs; on return it is pending and blocked again.
Status KvmGuest::BoundBySignal() {
  SignalMask mask{8, {}};
  const uint64_t all_but_alarm = ~(uint64_t{1} << (kAlarm - 1));
  memcpy(mask.set, &all_but_alarm, sizeof mask.set);
  return Control(cpu_.Get(), kSetSignalMask, "KVM_SET_SIGNAL_MASK", &mask);
}

Status KvmGuest::SetRegisters(Mode mode) {
  kvm_sregs system{};
  auto status = Control(cpu_.Get(), KVM_GET_SREGS, "KVM_GET_SREGS", &system);
  if (!status.Ok()) return status;
  if (mode == Mode::kReal) {
    system.cs.base = layout::kCode;
    system.cs.selector = layout::kCode >> 4;
  } else {
    system.cs = FlatSegment(0x08, 0xb, true);
    system.ds = system.es = system.fs = system.gs = system.ss = FlatSegment(0x10, 0x3, false);
    system.tr.base = layout::kTss;
    system.tr.limit = 0x67;
    system.tr.type = 0xb;
    system.tr.present = 1;
    system.tr.s = 0;
    system.gdt.base = layout::kGdt;
    system.gdt.limit = 3 * 8 - 1;
    system.cr3 = layout::kPml4;
    system.cr4 = kCr4PhysicalAddressExtension;
    system.cr0 = kCr0ProtectedMode | kCr0ExtensionType | kCr0NumericError | kCr0Paging;
    system.efer = kEferLongModeEnable | kEferLongModeActive;
  }
  status = Control(cpu_.Get(), KVM_SET_SREGS, "KVM_SET_SREGS", &system);
  if (!status.Ok()) return status;
  kvm_regs registers{};
  registers.rflags = 2;
  registers.rip = mode == Mode::kReal ? 0 : layout::kCode;
  registers.rsp = layout::kStackTop;
  return Control(cpu_.Get(), KVM_SET_REGS, "KVM_SET_REGS", &registers);
}

void KvmGuest::WriteTables() {
  constexpr uint64_t kPresentWritable = 3;
  constexpr uint64_t kLargePage = 1u << 7;
  const auto put = [this](uint64_t address, uint64_t value) {
    memcpy(memory_.Bytes() + address, &value, sizeof value);
  };
  put(layout::kPml4, layout::kPdpt | kPresentWritable);
  put(layout::kPdpt, layout::kPageDirectory | kPresentWritable);
  put(layout::kPageDirectory, kPresentWritable | kLargePage);
  put(layout::kGdt + 8, 0x00af9b000000ffff);
  put(layout::kGdt + 16, 0x00cf93000000ffff);
}

void KvmGuest::Load(std::string_view program) {
  memcpy(memory_.Bytes() + layout::kCode, program.data(), program.size());
}

void KvmGuest::SetHandler(int vector, uint64_t offset) {
  constexpr uint64_t kInterruptGate = 0x8e00;
  const uint64_t address = layout::kCode + offset;
  const uint64_t low =
      (address & 0xffff) | uint64_t{0x08} << 16 | kInterruptGate << 32 | (address & 0xffff0000) << 32;
  const uint64_t high = address >> 32;
  unsigned char* gate = memory_.Bytes() + layout::kIdt + vector * 16;
  memcpy(gate, &low, sizeof low);
  memcpy(gate + 8, &high, sizeof high);
  const uint16_t limit = 256 * 16 - 1;
  const uint64_t base = layout::kIdt;
  memcpy(memory_.Bytes() + layout::kIdtDescriptor, &limit, sizeof limit);
  memcpy(memory_.Bytes() + layout::kIdtDescriptor + 2, &base, sizeof base);
}

KvmRun KvmGuest::Run(char expected, KvmTime limit) {
  const Alarm wall(CLOCK_MONOTONIC, limit.wall_ms);
  const Alarm processor(CLOCK_THREAD_CPUTIME_ID, limit.processor_ms);
  if (!wall.IsSet() || !processor.IsSet()) return {false, "no timer to bound the run"};
  while (true) {
    if (ioctl(cpu_.Get(), KVM_RUN, 0) != 0) {
      if (errno == EINTR) return {false, "was not done in time"};
      if (errno == EAGAIN) continue;
      return {false, std::string("KVM_RUN: ") + strerror(errno)};
    }
    const kvm_run& run = Shared();
    const bool is_report = run.exit_reason == KVM_EXIT_IO && run.io.direction == KVM_EXIT_IO_OUT &&
                           run.io.port == layout::kPort && run.io.size == 1;
    if (!is_report) return {false, DescribeExit()};
    const auto letter = static_cast<char>(shared_.Bytes()[run.io.data_offset]);
    if (letter == expected) return {true, "passed"};
    return {false, "ran, with a wrong result"};
  }
}

kvm_run& KvmGuest::Shared() const {
  // SAFETY: the mapping is at least as long (CreateCpu) and page-aligned.
  return *reinterpret_cast<kvm_run*>(shared_.Bytes());
}

std::string KvmGuest::DescribeExit() const {
  const kvm_run& run = Shared();
  kvm_regs registers{};
  const bool has_registers = ioctl(cpu_.Get(), KVM_GET_REGS, &registers) == 0;
  char text[160];
  const unsigned long long rip = has_registers ? registers.rip : 0;
  switch (run.exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR:
      snprintf(text, sizeof text, "KVM_EXIT_INTERNAL_ERROR (suberror %u, %s) at rip 0x%llx",
               run.internal.suberror, SuberrorName(run.internal.suberror), rip);
      break;
    case KVM_EXIT_SHUTDOWN:
      snprintf(text, sizeof text, "KVM_EXIT_SHUTDOWN (triple fault) at rip 0x%llx", rip);
      break;
    case KVM_EXIT_FAIL_ENTRY:
      snprintf(text, sizeof text, "KVM_EXIT_FAIL_ENTRY (hardware reason 0x%llx)",
               static_cast<unsigned long long>(run.fail_entry.hardware_entry_failure_reason));
      break;
    default:
      snprintf(text, sizeof text, "exit reason %u at rip 0x%llx", run.exit_reason, rip);
  }
  return text;
}

}  // namespace microvm::core

#endif
