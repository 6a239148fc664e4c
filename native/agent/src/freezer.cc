#include "freezer.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "proc_file.h"
#include "process_signal.h"

namespace microvm::agent {
namespace {

// As process 1 the agent signals the whole PID namespace; anywhere else only the groups of its own commands.
int SignalWorkload(int number, const std::set<pid_t>& groups) {
  if (OwnsNamespace()) {
    const int error = SignalNamespace(number);
    return error == ESRCH ? 0 : error;
  }
  for (const pid_t group : groups) {
    if (const int error = SignalGroup(group, number); error != 0 && error != ESRCH) return error;
  }
  return 0;
}

constexpr unsigned kLongestMomentMs = 20;
constexpr unsigned kKernelThread = 0x00200000;  // PF_KTHREAD

// A process of the workload; proc_pid_stat(5).
struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  char state = 'X';

  bool IsAtRest() const { return strchr("TtZXx", state) != nullptr; }
};

// False when the text of its stat file is of no process of the workload, or cut off by its end.
bool ReadProcess(const std::string& stat, const std::set<pid_t>& groups, Process* process) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return false;
  int group = 0;
  unsigned flags = 0;
  if (sscanf(stat.c_str(), "%d", &process->pid) != 1 ||
      sscanf(stat.c_str() + name_end + 1, " %c %d %d %*d %*d %*d %u", &process->state, &process->parent,
             &group, &flags) != 4) {
    return false;
  }
  return (flags & kKernelThread) == 0 && (OwnsNamespace() || groups.count(group) != 0);
}

// False when it cannot be known.
bool ReadWorkload(const std::set<pid_t>& groups, std::vector<Process>* workload) {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  if (!proc) return false;
  const std::string self = std::to_string(getpid());
  while (const dirent* entry = readdir(proc.get())) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || self == entry->d_name) continue;
    Process process;
    const std::string path = std::string("/proc/") + entry->d_name + "/stat";
    if (ReadProcess(ReadSmallFile(path.c_str()), groups, &process)) workload->push_back(process);
  }
  return true;
}

bool AllStopped(const std::set<pid_t>& groups) {
  std::vector<Process> workload;
  if (!ReadWorkload(groups, &workload)) return false;
  return std::all_of(workload.begin(), workload.end(), [](const Process& each) { return each.IsAtRest(); });
}

}  // namespace

void Freezer::UseCgroup(const char* cgroup_root) {
  const std::string path = std::string(cgroup_root) + "/workload";
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return;
  UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  UniqueFd procs(open((path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  UniqueFd freeze(open((path + "/cgroup.freeze").c_str(), O_WRONLY | O_CLOEXEC));
  UniqueFd events(open((path + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  if (!folder || !procs || !freeze || !events) return;
  folder_ = std::move(folder);
  procs_ = std::move(procs);
  freeze_ = std::move(freeze);
  events_ = std::move(events);
}

int Freezer::Begin(const std::set<pid_t>& groups) {
  frozen_ = true;
  attempts_ = 0;
  if (!freeze_) return SignalWorkload(SIGSTOP, groups);
  return pwrite(freeze_.Get(), "1", 1, 0) == 1 ? 0 : errno;
}

int Freezer::Again(const std::set<pid_t>& groups) {
  std::vector<Process> workload;
  if (freeze_ || !ReadWorkload(groups, &workload)) return 0;
  std::set<pid_t> waiting;
  for (const Process& each : workload) {
    if (each.state == 'D') waiting.insert(each.pid);
  }
  for (const Process& each : workload) {
    if (each.state == 'T' && waiting.count(each.parent) != 0) SignalProcess(each.pid, SIGCONT);
  }
  if (attempts_ < kLongestMomentMs) ++attempts_;
  usleep(attempts_ * 1000);
  return SignalWorkload(SIGSTOP, groups);
}

int Freezer::Thaw(const std::set<pid_t>& groups) {
  if (!frozen_) return 0;
  if (freeze_) {
    if (pwrite(freeze_.Get(), "0", 1, 0) != 1) return errno;
  } else if (const int error = SignalWorkload(SIGCONT, groups); error != 0) {
    return error;
  }
  frozen_ = false;
  return 0;
}

bool Freezer::Settled(const std::set<pid_t>& groups) const {
  if (!freeze_) return AllStopped(groups);
  char text[256];
  const ssize_t size = pread(events_.Get(), text, sizeof(text) - 1, 0);
  if (size <= 0) return false;
  text[size] = '\0';
  return strstr(text, "frozen 1") != nullptr;
}

}  // namespace microvm::agent
