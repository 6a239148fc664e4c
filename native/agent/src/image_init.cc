#include "image_init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "boot.h"
#include "proc_file.h"
#include "process_signal.h"
#include "spawn.h"

namespace microvm::agent {
namespace {

constexpr const char* kCgroups = "/sys/fs/cgroup";
constexpr const char* kProcs = "/sys/fs/cgroup/workload/cgroup.procs";
constexpr const char* kInit = "/sbin/init";
// systemd(1): what it makes of its real-time signals.
constexpr int kPowerOffSignal = 4;
constexpr int kRebootSignal = 5;

// The service manager has the cgroup of the workload for its root, so that a freeze stops it and all that it
// has started.
bool EnterWorkload() {
  return WriteSmallFile(kProcs, "0") == 0 && unshare(CLONE_NEWCGROUP) == 0 &&
         umount2(kCgroups, MNT_DETACH) == 0 &&
         mount("cgroup2", kCgroups, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate") == 0;
}

// `began_fd` is closed by the init's own begin.
[[noreturn]] void BecomeInit(int wait_fd, int began_fd) {
  char byte = 0;
  while (read(wait_fd, &byte, 1) < 0 && errno == EINTR) {
  }
  if (!EnterWorkload()) Log("microvm-agent: the image's init has no cgroup of its own: %s", strerror(errno));
  WriteSmallFile("/proc/self/oom_score_adj", "0");
  RestoreDescriptorLimit();
  execl(kInit, kInit, static_cast<char*>(nullptr));
  const int error = errno;
  [[maybe_unused]] const ssize_t told = write(began_fd, "x", 1);
  EndBoot(std::string("run ") + kInit + " of the image: " + strerror(error));
}

}  // namespace

std::string ImageInit::Fork(char* own_name) {
  int go[2];
  int began[2];
  if (pipe2(go, O_CLOEXEC) != 0) return strerror(errno);
  const UniqueFd wait(go[0]);
  go_ = UniqueFd(go[1]);
  if (pipe2(began, O_CLOEXEC) != 0) return strerror(errno);
  began_ = UniqueFd(began[0]);
  const UniqueFd begins(began[1]);
  const pid_t agent = fork();
  if (agent < 0) return strerror(errno);
  if (agent > 0) {
    go_.Reset();
    BecomeInit(wait.Get(), begins.Get());
  }
  setsid();
  // The sign by which systemd leaves a process of root alone when it ends all others.
  if (*own_name != '\0') *own_name = '@';
  return {};
}

void ImageInit::Start() {
  if (!go_) return;
  go_.Reset();
  char byte = 0;
  ssize_t got = 0;
  while ((got = read(began_.Get(), &byte, 1)) < 0 && errno == EINTR) {
  }
  began_.Reset();
  while (got > 0) pause();
}

void AskInit(bool is_reboot) { SignalProcess(1, SIGRTMIN + (is_reboot ? kRebootSignal : kPowerOffSignal)); }

}  // namespace microvm::agent
