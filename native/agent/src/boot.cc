#include "boot.h"

#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "file_systems.h"
#include "identity.h"
#include "image_root.h"
#include "proc_file.h"
#include "unique_fd.h"

namespace microvm::agent {
namespace {

constexpr const char* kModuleList = "/etc/microvm/modules";

// An initramfs that was made without root has no /dev/console, so the kernel may have started us without
// descriptors.
void OpenConsole() {
  const int console = open("/dev/console", O_RDWR | O_NOCTTY);
  const int null = open("/dev/null", O_RDWR);
  if (null >= 0) dup2(null, 0);
  for (int target = 1; target <= 2; target++) {
    if (console >= 0) {
      dup2(console, target);
    } else if (null >= 0) {
      dup2(null, target);
    }
  }
  if (console > 2) close(console);
  if (null > 2) close(null);
}

void LoadModule(const char* path) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) {
    Log("microvm-agent: module %s: %s", path, strerror(errno));
  } else if (syscall(SYS_finit_module, fd.Get(), "", 0) != 0 && errno != EEXIST) {
    Log("microvm-agent: module %s: %s", path, strerror(errno));
  }
}

void LoadModules() {
  const std::string list = ReadSmallFile(kModuleList);
  size_t at = 0;
  while (at < list.size()) {
    size_t end = list.find('\n', at);
    if (end == std::string::npos) end = list.size();
    const std::string path = list.substr(at, end - at);
    if (!path.empty() && path[0] != '#') LoadModule(path.c_str());
    at = end + 1;
  }
}

void BringUpLoopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ioctl(fd.Get(), SIOCSIFFLAGS, &request);
}

}  // namespace

void EndBoot(const std::string& problem) {
  Log("microvm-agent: cannot boot: %s", problem.c_str());
  Log("microvm-agent: farewell power-off");
  tcdrain(STDERR_FILENO);
  sync();
  const bool is_reboot = ParseKernelOptions(ReadSmallFile("/proc/cmdline")).power_off_is_reboot;
  reboot(is_reboot ? RB_AUTOBOOT : RB_POWER_OFF);
  _exit(1);
}

KernelOptions BootAsInit() {
  MountKernelFileSystems();
  OpenConsole();
  // Ctrl-Alt-Del would reset at once, without a flush; it becomes SIGINT to us.
  reboot(RB_DISABLE_CAD);
  WriteSmallFile("/proc/self/oom_score_adj", "-1000");
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0);
  setenv("HOME", "/root", 1);
  setenv("TERM", "linux", 0);
  const KernelOptions options = ParseKernelOptions(ReadSmallFile("/proc/cmdline"));
  SetHostName(options.host_name);
  LoadModules();
  BringUpLoopback();
  if (!options.image.empty()) {
    const std::string problem = EnterImage(options);
    if (!problem.empty()) EndBoot(problem);
  } else if (!options.data_disk.empty()) {
    MountDataDisk(options.data_disk.c_str(), options.data_disk_expected);
  }
  return options;
}

}  // namespace microvm::agent
