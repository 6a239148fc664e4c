#include <errno.h>
#include <linux/random.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <time.h>

#include "proc_file.h"

// What the agent asks its kernel and an unprivileged process of the host may not: in the guest of the double
// these calls are answered here (the linker's --wrap), said on the console, and have no effect on the host.

#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO('R', 0x07)
#endif

extern "C" {

int __real_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == RNDADDENTROPY) {
    microvm::agent::Log("fake-kernel: entropy added: %d bytes", static_cast<int*>(argument)[1]);
    return 0;
  }
  return request == RNDRESEEDCRNG ? 0 : __real_ioctl(fd, request, argument);
}

int __wrap_clock_settime(clockid_t clock, const timespec* time) {
  if (clock != CLOCK_REALTIME) {
    errno = EINVAL;
    return -1;
  }
  timespec now{};
  clock_gettime(clock, &now);
  const long long step =
      (static_cast<long long>(time->tv_sec) - now.tv_sec) * 1000 + (time->tv_nsec - now.tv_nsec) / 1000000;
  microvm::agent::Log("fake-kernel: wall clock stepped by %lld ms", step);
  return 0;
}

}  // extern "C"
