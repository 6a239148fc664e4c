#pragma once

#include <cstdint>

#include "core/handles.h"

namespace microvm::core {

// RESOLVE_* of linux/openat2.h, which older headers do not have.
constexpr uint64_t kResolveNoXdev = 0x01;
constexpr uint64_t kResolveNoMagicLinks = 0x02;
constexpr uint64_t kResolveNoSymlinks = 0x04;
constexpr uint64_t kResolveBeneath = 0x08;

// openat2(2), with O_CLOEXEC; empty and errno when it fails: ENOSYS before Linux 5.6.
UniqueFd OpenAt2(int directory, const char* name, int flags, unsigned mode, uint64_t resolve);

}  // namespace microvm::core
