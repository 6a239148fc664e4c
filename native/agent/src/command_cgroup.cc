#include "command_cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>

#include "proc_file.h"
#include "process_signal.h"

namespace microvm::agent {
namespace {

// Processes that fork faster than they can be told are left after so many rounds.
constexpr int kMostRounds = 64;

}  // namespace

CommandCgroup::CommandCgroup(int workload_fd, const std::string& name) {
  if (workload_fd < 0 || mkdirat(workload_fd, name.c_str(), 0755) != 0) return;
  workload_fd_ = workload_fd;
  name_ = name;
}

UniqueFd CommandCgroup::OpenProcs() const {
  if (!valid()) return UniqueFd();
  return UniqueFd(openat(workload_fd_, File("cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
}

bool CommandCgroup::Kill() const {
  if (!valid()) return false;
  const UniqueFd kill_file(openat(workload_fd_, File("cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  if (!kill_file) return SignalEach(SIGKILL);
  return write(kill_file.Get(), "1", 1) == 1;
}

bool CommandCgroup::SignalEach(int number) const {
  if (!valid()) return false;
  // A process that was sent SIGKILL forks no more, but is listed until it is gone.
  std::set<pid_t> told;
  for (int round = 0; round < kMostRounds; round++) {
    const UniqueFd procs(openat(workload_fd_, File("cgroup.procs").c_str(), O_RDONLY | O_CLOEXEC));
    if (!procs) return false;
    const std::string text = ReadBegin(procs.Get());
    bool found = false;
    for (const char* at = text.c_str(); *at != '\0';) {
      char* end = nullptr;
      const auto pid = static_cast<pid_t>(strtol(at, &end, 10));
      if (end == at) break;
      // A process that our PID namespace does not show is listed as 0, which is refused.
      if (told.count(pid) == 0 && SignalProcess(pid, number) == 0) found = told.insert(pid).second;
      at = *end == '\0' ? end : end + 1;
    }
    if (!found) break;
  }
  return !told.empty();
}

bool CommandCgroup::Remove() {
  if (!valid()) return true;
  if (unlinkat(workload_fd_, name_.c_str(), AT_REMOVEDIR) != 0 && errno == EBUSY) return false;
  name_.clear();
  return true;
}

}  // namespace microvm::agent
