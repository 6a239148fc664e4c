#include "core/kvm_guest_code.h"

#if defined(__x86_64__)

// Position-independent, executed only inside the guest. Addresses and port are those of the header. Data goes
// to 0x9000.
__asm__(R"(
  .pushsection .rodata.microvm_guest, "a"

  .code16
microvm_guest_real:
  movw $0x1234, %bx
  movw %bx, 0x9000
  cmpw $0x1234, 0x9000
  movb $'R', %al
  je 1f
  movb $'F', %al
1:
  outb %al, $0xE9
  hlt
microvm_guest_real_end:

  .code64
microvm_guest_long:
  movabsq $0x1122334455667788, %rax
  movq %rax, 0x9000
  movq %cr3, %rcx
  movq %rcx, %cr3
  xorl %eax, %eax
  cpuid
  movabsq $0x1122334455667788, %rax
  pushq %rax
  popq %rdx
  cmpq %rdx, 0x9000
  movb $'L', %al
  je 1f
  movb $'F', %al
1:
  outb %al, $0xE9
  hlt
microvm_guest_long_end:

microvm_guest_exception:
  lidt 0x9000
  xorl %ebx, %ebx
  ud2
  cmpl $1, %ebx
  jne 2f
  movl $0x40000000, %eax
  movb (%rax), %al
  cmpl $2, %ebx
  jne 2f
  movb $'X', %al
  outb %al, $0xE9
  hlt
2:
  movb $'F', %al
  outb %al, $0xE9
  hlt
microvm_guest_invalid_opcode:
  incl %ebx
  addq $2, (%rsp)
  iretq
microvm_guest_page_fault:
  incl %ebx
  addq $8, %rsp
  addq $2, (%rsp)
  iretq
microvm_guest_exception_end:

microvm_guest_kernel_code:
  # The model-specific register behind swapgs.
  movl $0xC0000102, %ecx
  movl $0x5678, %eax
  xorl %edx, %edx
  wrmsr
  rdmsr
  cmpl $0x5678, %eax
  jne 2f
  swapgs
  swapgs
  invlpg 0x9000
  # Floating point state.
  fninit
  fxsave 0x9200
  fxrstor 0x9200
  # String stores and locked arithmetic.
  xorl %eax, %eax
  movl $0x9000, %edi
  movl $64, %ecx
  rep stosq
  movl $1, %eax
  lock xaddl %eax, 0x9000
  lock btsq $5, 0x9000
  cmpl $0x21, 0x9000
  jne 2f
  # A compare and exchange of 16 bytes, where the processor has it: the allocator of Linux is built on it.
  movl $1, %eax
  cpuid
  testl $0x2000, %ecx
  jz 1f
  movl $0x21, %eax
  xorl %edx, %edx
  movl $0x42, %ebx
  xorl %ecx, %ecx
  lock cmpxchg16b 0x9000
  jne 2f
  cmpl $0x42, 0x9000
  jne 2f
1:
  movb $'K', %al
  outb %al, $0xE9
  hlt
2:
  movb $'F', %al
  outb %al, $0xE9
  hlt
microvm_guest_kernel_code_end:

microvm_guest_speed:
  movl $1000000, %ecx
1:
  decl %ecx
  jnz 1b
  movb $'S', %al
  outb %al, $0xE9
  hlt
microvm_guest_speed_end:

microvm_guest_timer:
  lidt 0x9000
  xorl %ebx, %ebx
  movb $0x11, %al
  outb %al, $0x20
  outb %al, $0xA0
  movb $0x20, %al
  outb %al, $0x21
  movb $0x28, %al
  outb %al, $0xA1
  movb $0x04, %al
  outb %al, $0x21
  movb $0x02, %al
  outb %al, $0xA1
  movb $0x01, %al
  outb %al, $0x21
  outb %al, $0xA1
  movb $0xFE, %al
  outb %al, $0x21
  movb $0xFF, %al
  outb %al, $0xA1
  movb $0x34, %al
  outb %al, $0x43
  movb $0xA9, %al
  outb %al, $0x40
  movb $0x04, %al
  outb %al, $0x40
  sti
1:
  hlt
  testl %ebx, %ebx
  jz 1b
  cli
  movb $'T', %al
  outb %al, $0xE9
  hlt
microvm_guest_tick:
  incl %ebx
  pushq %rax
  movb $0x20, %al
  outb %al, $0x20
  popq %rax
  iretq
microvm_guest_timer_end:

  .popsection
)");

extern "C" {
extern const char microvm_guest_real[], microvm_guest_real_end[];
extern const char microvm_guest_long[], microvm_guest_long_end[];
extern const char microvm_guest_exception[], microvm_guest_exception_end[];
extern const char microvm_guest_invalid_opcode[], microvm_guest_page_fault[];
extern const char microvm_guest_kernel_code[], microvm_guest_kernel_code_end[];
extern const char microvm_guest_speed[], microvm_guest_speed_end[];
extern const char microvm_guest_timer[], microvm_guest_timer_end[], microvm_guest_tick[];
}

namespace microvm::core::kvm_guest {
namespace {

std::string_view Between(const char* begin, const char* end) {
  return {begin, static_cast<size_t>(end - begin)};
}

}  // namespace

std::string_view RealMode() { return Between(microvm_guest_real, microvm_guest_real_end); }
std::string_view LongMode() { return Between(microvm_guest_long, microvm_guest_long_end); }
std::string_view Exception() { return Between(microvm_guest_exception, microvm_guest_exception_end); }
std::string_view KernelCode() { return Between(microvm_guest_kernel_code, microvm_guest_kernel_code_end); }
std::string_view Speed() { return Between(microvm_guest_speed, microvm_guest_speed_end); }
std::string_view Timer() { return Between(microvm_guest_timer, microvm_guest_timer_end); }
uint64_t InvalidOpcodeHandler() {
  return Between(microvm_guest_exception, microvm_guest_invalid_opcode).size();
}
uint64_t PageFaultHandler() { return Between(microvm_guest_exception, microvm_guest_page_fault).size(); }
uint64_t TimerHandler() { return Between(microvm_guest_timer, microvm_guest_tick).size(); }

}  // namespace microvm::core::kvm_guest

#endif
