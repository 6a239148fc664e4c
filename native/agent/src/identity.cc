#include "identity.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "proc_file.h"
#include "unique_fd.h"

#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO('R', 0x07)
#endif

namespace microvm::agent {

int SetWallClock(uint64_t microseconds) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(microseconds / 1000000);
  time.tv_nsec = static_cast<long>(microseconds % 1000000) * 1000;
  return clock_settime(CLOCK_REALTIME, &time) == 0 ? 0 : errno;
}

int AddEntropy(std::string_view entropy) {
  const UniqueFd random(open("/dev/urandom", O_RDWR | O_CLOEXEC));
  if (!random.valid()) return errno;
  // struct rand_pool_info ends in a flexible array: the count of bits, the count of bytes, the bytes.
  std::vector<int> pool(2 + (entropy.size() + sizeof(int) - 1) / sizeof(int));
  pool[0] = static_cast<int>(entropy.size() * 8);
  pool[1] = static_cast<int>(entropy.size());
  std::memcpy(&pool[2], entropy.data(), entropy.size());
  const int added = ioctl(random.get(), RNDADDENTROPY, pool.data());
  const int error = errno;
  explicit_bzero(&pool[2], entropy.size());
  if (added != 0) return error;
  return ioctl(random.get(), RNDRESEEDCRNG) == 0 ? 0 : errno;
}

int SetHostName(std::string_view name) { return sethostname(name.data(), name.size()) == 0 ? 0 : errno; }

int SetMachineId(std::string_view id) {
  constexpr const char* kStaged = "/etc/.machine-id.new";
  mkdir("/etc", 0755);
  if (const int error = WriteSmallFile(kStaged, std::string(id) + "\n"); error != 0) return error;
  return rename(kStaged, "/etc/machine-id") == 0 ? 0 : errno;
}

}  // namespace microvm::agent
