#include "identity.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "etc_folder.h"
#include "proc_file.h"
#include "unique_fd.h"

#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO('R', 0x07)
#endif

namespace microvm::agent {
namespace {

int NoPlace() {
  Log("microvm-agent: this guest has no place for a machine id");
  return 0;
}

}  // namespace

int SetWallClock(uint64_t microseconds) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(microseconds / 1000000);
  time.tv_nsec = static_cast<long>(microseconds % 1000000) * 1000;
  return clock_settime(CLOCK_REALTIME, &time) == 0 ? 0 : errno;
}

int AddEntropy(std::string_view entropy) {
  const UniqueFd random(open("/dev/urandom", O_RDWR | O_CLOEXEC));
  if (!random) return errno;
  // struct rand_pool_info ends in a flexible array: the count of bits, the count of bytes, the bytes.
  std::vector<int> pool(2 + (entropy.size() + sizeof(int) - 1) / sizeof(int));
  pool[0] = static_cast<int>(entropy.size() * 8);
  pool[1] = static_cast<int>(entropy.size());
  std::memcpy(&pool[2], entropy.data(), entropy.size());
  const int added = ioctl(random.Get(), RNDADDENTROPY, pool.data());
  const int error = errno;
  explicit_bzero(&pool[2], entropy.size());
  if (added != 0) return error;
  return ioctl(random.Get(), RNDRESEEDCRNG) == 0 ? 0 : errno;
}

int SetHostName(std::string_view name) { return sethostname(name.data(), name.size()) == 0 ? 0 : errno; }

int SetMachineId(std::string_view id) { return SetMachineIdBelow("", id); }

int SetMachineIdBelow(const std::string& root, std::string_view id) {
  const std::string target = root + "/etc/machine-id";
  const std::string line = std::string(id) + "\n";
  const UniqueFd root_fd(open(root.empty() ? "/" : root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_fd) return errno;
  const UniqueFd etc = OpenEtc(root_fd.Get());
  if (!etc) return NoPlace();
  int error = ReplaceFile(etc.Get(), "machine-id", line);
  // EBUSY: a file of another file system lies bound over it, ours of an earlier restore or the init's.
  if (error != EROFS && error != EBUSY) return error;
  if (OverwriteSmallFile(target.c_str(), line) == 0) return 0;
  if (access(target.c_str(), F_OK) != 0 && errno == ENOENT) return NoPlace();
  const std::string bound = root + "/run/microvm-machine-id";
  error = WriteSmallFile(bound.c_str(), line);
  if (error == ENOENT || error == EROFS) return NoPlace();
  if (error != 0) return error;
  return mount(bound.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) == 0 ? 0 : errno;
}

}  // namespace microvm::agent
