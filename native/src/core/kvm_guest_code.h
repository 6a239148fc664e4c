#pragma once

#include <cstdint>
#include <string_view>

// The programs of the probe's tiny guest, as machine code, and the memory layout they are written for.
namespace microvm::core::kvm_guest {

inline constexpr uint64_t kMemoryBytes = 2 << 20;
inline constexpr uint64_t kPml4 = 0x2000;
inline constexpr uint64_t kPdpt = 0x3000;
inline constexpr uint64_t kPageDirectory = 0x4000;  // its first entry maps the 2 MiB; nothing else is mapped
inline constexpr uint64_t kGdt = 0x5000;
inline constexpr uint64_t kIdt = 0x6000;
inline constexpr uint64_t kTss = 0x7000;
inline constexpr uint64_t kIdtDescriptor = 0x9000;
inline constexpr uint64_t kCode = 0x10000;
inline constexpr uint64_t kStackTop = 0x20000;

// A program that has passed writes its letter to this port; 'F': its own check failed.
inline constexpr uint16_t kPort = 0xE9;
inline constexpr uint8_t kTimerVector = 0x20;

std::string_view RealMode();    // 'R'
std::string_view LongMode();    // 'L'
std::string_view Exception();   // 'X'
std::string_view Timer();       // 'T'
std::string_view KernelCode();  // 'K'
std::string_view Speed();       // 'S', after kSpeedInstructions

inline constexpr int kSpeedInstructions = 2'000'000;

// Offsets of the handlers in their programs.
uint64_t InvalidOpcodeHandler();  // in Exception
uint64_t PageFaultHandler();      // in Exception
uint64_t TimerHandler();          // in Timer

}  // namespace microvm::core::kvm_guest
