#pragma once

#if defined(__x86_64__)

#include <linux/kvm.h>

#include <string>
#include <string_view>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// How a program of the tiny guest ended.
struct KvmRun {
  bool passed = false;
  std::string detail;
};

// How long a run may take, whichever is over first. Processor time does not pass while a busy host lets us
// wait.
struct KvmTime {
  int wall_ms = 0;
  int processor_ms = 0;
};

// A virtual machine with 2 MiB of memory and one CPU, for one program. One thread, on which every signal is
// blocked.
class KvmGuest {
 public:
  enum class Mode { kReal, kLong };

  // `with_timer`: with the kernel's interrupt controllers and PIT.
  static Result<KvmGuest> Create(int kvm, Mode mode, bool with_timer);

  void Load(std::string_view program);
  // The handler is at this offset of the program.
  void SetHandler(int vector, uint64_t offset);

  // Runs until the program has reported, the CPU stopped, or the time is over.
  KvmRun Run(char expected, KvmTime limit);

 private:
  KvmGuest() = default;
  Status CreateVm(int kvm, bool with_timer);
  Status CreateCpu(int kvm);
  Status SetCpuid(int kvm);
  Status AcceptPicInterrupts();
  Status EnterLongMode(kvm_sregs* registers);
  Status SetRegisters(Mode mode);
  void WriteTables();
  Status BoundBySignal();
  std::string DescribeExit() const;
  kvm_run& Shared() const;

  // Destroyed in reverse: the memory goes last.
  Mmap memory_;
  UniqueFd vm_;
  UniqueFd cpu_;
  Mmap shared_;
};

}  // namespace microvm::core

#endif
