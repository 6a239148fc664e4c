#include "core/process_clone.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

namespace microvm::core {
namespace {

constexpr uint64_t kCloneIntoCgroup = 0x200000000ULL;
constexpr size_t kStackBytes = 128 * 1024;

// struct clone_args of linux/sched.h, version 2 (Linux 5.7), which old headers lack.
struct CloneArgs {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
      cgroup;
};

#if defined(__x86_64__) || defined(__aarch64__)

// clone3 with a stack of its own cannot be called through syscall(2): the child would return onto an empty
// stack.
long Clone3(CloneArgs* args, size_t size, int (*entry)(void*), void* argument) {
#if defined(__x86_64__)
  register int (*child_entry)(void*) __asm__("r12") = entry;
  register void* child_argument __asm__("r13") = argument;
  long result = SYS_clone3;
  // SAFETY: in the child only registers are used until it runs on its own, 16-byte aligned stack; it never
  // leaves the block.
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "movq %%r13, %%rdi\n\t"
      "callq *%%r12\n\t"
      "movl %%eax, %%edi\n\t"
      "movl $60, %%eax\n\t"
      "syscall\n\t"
      "hlt\n\t"
      "1:"
      : "+a"(result)
      : "D"(args), "S"(size), "r"(child_entry), "r"(child_argument)
      : "rcx", "r11", "memory", "cc");
  return result;
#else
  register long number __asm__("x8") = SYS_clone3;
  register long result __asm__("x0") = reinterpret_cast<long>(args);
  register size_t length __asm__("x1") = size;
  register int (*child_entry)(void*) __asm__("x19") = entry;
  register void* child_argument __asm__("x20") = argument;
  // SAFETY: as above.
  __asm__ volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "mov x0, x20\n\t"
      "blr x19\n\t"
      "mov x8, #93\n\t"
      "svc #0\n\t"
      "1:"
      : "+r"(result)
      : "r"(number), "r"(length), "r"(child_entry), "r"(child_argument)
      : "memory", "cc");
  return result;
#endif
}

#else

long Clone3(CloneArgs*, size_t, int (*)(void*), void*) { return -ENOSYS; }

#endif

// The kernel or a seccomp filter that knows only clone(2), or a kernel before 5.7 with CLONE_INTO_CGROUP.
bool IsClone3Refused(int number, bool with_cgroup) {
  return number == ENOSYS || number == EPERM || (with_cgroup && (number == E2BIG || number == EINVAL));
}

std::mutex& DumpableTurn() {
  static std::mutex turn;
  return turn;
}

}  // namespace

KeepDumpable::KeepDumpable() : turn_(DumpableTurn()), before_(prctl(PR_GET_DUMPABLE)) {}

KeepDumpable::~KeepDumpable() {
  if (before_ == 1 && prctl(PR_GET_DUMPABLE) != 1) prctl(PR_SET_DUMPABLE, 1);
}

Result<ClonedChild> CloneSharingMemory(int (*entry)(void*), void* argument, CloneCgroup* cgroup) {
  const Mmap stack = Mmap::Anonymous(kStackBytes, MAP_STACK | MAP_NORESERVE);
  if (!stack) return SysError::Last("mmap");
  int pidfd = -1;
  CloneArgs args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
  // SAFETY: both outlive the child's use of them: the call returns only after the child has left our memory.
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.stack = reinterpret_cast<uint64_t>(stack.Bytes());
  args.stack_size = stack.Length();
  args.exit_signal = SIGCHLD;
  const bool with_cgroup = cgroup->fd >= 0;
  if (with_cgroup) {
    args.flags |= kCloneIntoCgroup;
    args.cgroup = static_cast<uint64_t>(cgroup->fd);
  }
  cgroup->entered = with_cgroup;
  // Before 5.7 the kernel knows the structure only up to set_tid_size or less, and takes longer ones with
  // zeros at the end.
  long pid = Clone3(&args, sizeof args, entry, argument);
  const char* syscall_name = "clone3";
  if (pid < 0 && IsClone3Refused(static_cast<int>(-pid), with_cgroup)) {
    syscall_name = "clone";
    cgroup->entered = false;
    pid = clone(entry, stack.Bytes() + stack.Length(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                argument, &pidfd);
    if (pid < 0) pid = -errno;
  }
  if (pid < 0) return SysError{static_cast<int>(-pid), syscall_name, {}};
  return ClonedChild{static_cast<pid_t>(pid), UniqueFd(pidfd)};
}

}  // namespace microvm::core
