#include "core/process_wait.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "core/handles.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace microvm::core {
namespace {

constexpr auto kPidfd = static_cast<idtype_t>(3);  // P_PIDFD, Linux 5.4

// struct pidfd_info of linux/pidfd.h, first version.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t ids[11];
  int32_t exit_status;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kPidfdInfoExit = 1u << 3;  // Linux 6.15

ProcessEnd FromStatus(int status) {
  ProcessEnd end;
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

ProcessEnd FromSiginfo(const siginfo_t& info) {
  ProcessEnd end;
  if (info.si_code == CLD_EXITED) end.exit_code = info.si_status;
  if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED) end.signal = info.si_status;
  return end;
}

bool HasEnded(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return RetryOnSignal([&] { return poll(&entry, 1, 0); }) > 0;
}

}  // namespace

ProcessEnd WaitForChild(int pidfd) {
  siginfo_t info{};
  const int failed = RetryOnSignal([&] { return waitid(kPidfd, static_cast<id_t>(pidfd), &info, WEXITED); });
  return failed == 0 ? FromSiginfo(info) : ProcessEnd{};
}

void KillAndReap(int pidfd) {
  static_cast<void>(SendSignal(pidfd, SIGKILL));
  static_cast<void>(WaitForChild(pidfd));
}

ProcessEnd InspectEnd(int pidfd, const ProcessIdentity& identity) {
  // A child of ours that someone else reaps (libuv): look without reaping.
  siginfo_t info{};
  if (waitid(kPidfd, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    return FromSiginfo(info);
  }
  // Not reaped by its parent yet: /proc tells those who may trace it. Others read 0, which must not pass for
  // a success.
  auto stat = ReadProcessStat(identity.pid);
  if (stat.Ok() && stat.Value() && stat.Value()->start_time == identity.start_time) {
    const std::optional<int> status = stat.Value()->exit_status;
    if (stat.Value()->state == 'Z' && status.value_or(0) != 0) return FromStatus(*status);
  }
  PidfdInfo exit_info{};
  exit_info.mask = kPidfdInfoExit;
  if (ioctl(pidfd, kPidfdGetInfo, &exit_info) == 0 && (exit_info.mask & kPidfdInfoExit) != 0) {
    return FromStatus(exit_info.exit_status);
  }
  return {};
}

Result<std::optional<UniqueFd>> OpenPidfd(const ProcessIdentity& identity) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, identity.pid, 0)));
  // EINVAL: the pid is that of a thread now.
  if (!pidfd && errno != ESRCH && errno != EINVAL) return SysError::Last("pidfd_open");
  if (!pidfd) return std::optional<UniqueFd>();
  // Compared after the open: what the pidfd names cannot be replaced any more.
  auto now = IdentifyProcess(identity.pid);
  if (!now.Ok()) return now.Error();
  const bool same = now.Value() && now.Value()->start_time == identity.start_time &&
                    now.Value()->boot_id == identity.boot_id;
  return same ? std::optional<UniqueFd>(std::move(pidfd)) : std::nullopt;
}

Result<bool> SendSignal(int pidfd, int signal) {
  // A zombie takes signals without an error.
  if (HasEnded(pidfd)) return false;
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  return SysError::Last("pidfd_send_signal");
}

}  // namespace microvm::core
