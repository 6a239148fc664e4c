#include "core/openat2.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/result.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

namespace microvm::core {
namespace {

// struct open_how of linux/openat2.h
struct OpenHow {
  uint64_t flags, mode, resolve;
};

}  // namespace

UniqueFd OpenAt2(int directory, const char* name, int flags, unsigned mode, uint64_t resolve) {
  OpenHow how{static_cast<uint64_t>(flags | O_CLOEXEC), mode, resolve};
  return UniqueFd(static_cast<int>(
      RetryOnSignal([&] { return syscall(SYS_openat2, directory, name, &how, sizeof how); })));
}

}  // namespace microvm::core
