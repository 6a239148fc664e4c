#include "core/process_spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "core/file_io.h"
#include "core/process_clone.h"
#include "core/process_wait.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

namespace microvm::core {
namespace {

constexpr int kSignals = 64;
// The kernel's signal set: one bit for each signal, also for the two that the C library keeps for itself.
using KernelSignalSet = uint64_t;

struct KernelSigaction {
  void* handler;
  unsigned long flags;
  void* restorer;
  KernelSignalSet mask;
};

void SetSignalMask(KernelSignalSet mask, KernelSignalSet* before) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, before, sizeof mask);
}

// Everything the child needs, made before the clone: in the child nothing may allocate or take a lock.
struct ChildPlan {
  const char* file = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* cwd = nullptr;
  int* fds = nullptr;
  int fd_count = 0;
  int netns_fd = -1;
  const char* netns_path = nullptr;
  const char* cgroup_path = nullptr;
  CloneCgroup cgroup;
  const ResourceLimit* limits = nullptr;
  size_t limit_count = 0;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;

  // Written by the child, in our memory.
  int failed_errno = 0;
  const char* failed_syscall = nullptr;
  const char* failed_path = nullptr;
};

#define NO_SANITIZE __attribute__((no_sanitize("address", "undefined", "thread")))

NO_SANITIZE bool Fail(ChildPlan* plan, const char* step, const char* path = nullptr) {
  plan->failed_errno = errno;
  plan->failed_syscall = step;
  plan->failed_path = path;
  return false;
}

NO_SANITIZE void ResetSignalHandlers() {
  KernelSigaction standard{};
  for (int number = 1; number <= kSignals; ++number) {
    syscall(SYS_rt_sigaction, number, &standard, nullptr, sizeof standard.mask);
  }
}

// Puts the sources at 0…n-1. They may lie in that range themselves, so those are first moved out of it.
NO_SANITIZE bool ArrangeDescriptors(ChildPlan* plan) {
  for (int i = 0; i < plan->fd_count; ++i) {
    if (plan->fds[i] >= plan->fd_count) continue;
    plan->fds[i] = fcntl(plan->fds[i], F_DUPFD_CLOEXEC, plan->fd_count);
    if (plan->fds[i] < 0) return Fail(plan, "fcntl");
  }
  for (int i = 0; i < plan->fd_count; ++i) {
    if (dup2(plan->fds[i], i) < 0) return Fail(plan, "dup2");
  }
  return true;
}

NO_SANITIZE bool CloseOtherDescriptors(ChildPlan* plan) {
  if (syscall(SYS_close_range, plan->fd_count, ~0U, 0) == 0) return true;
  // Before Linux 5.9.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return Fail(plan, "getrlimit");
  for (rlim_t fd = static_cast<rlim_t>(plan->fd_count); fd < limit.rlim_max; ++fd)
    close(static_cast<int>(fd));
  return true;
}

// The C library's wrappers would change the identity of every thread of *our* process: its thread list is
// shared memory.
NO_SANITIZE bool ChangeUser(ChildPlan* plan) {
  if (!plan->uid && !plan->gid) return true;
  if (syscall(SYS_setgroups, 0, nullptr) != 0) return Fail(plan, "setgroups");
  if (plan->gid && syscall(SYS_setresgid, *plan->gid, *plan->gid, *plan->gid) != 0)
    return Fail(plan, "setresgid");
  if (plan->uid && syscall(SYS_setresuid, *plan->uid, *plan->uid, *plan->uid) != 0)
    return Fail(plan, "setresuid");
  return true;
}

// Only where the kernel could not make the child inside it.
NO_SANITIZE bool EnterCgroup(ChildPlan* plan) {
  if (plan->cgroup.fd < 0 || plan->cgroup.entered) return true;
  const int procs = openat(plan->cgroup.fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (procs < 0) return Fail(plan, "open", plan->cgroup_path);
  return write(procs, "0", 1) == 1 || Fail(plan, "write", plan->cgroup_path);
}

NO_SANITIZE bool PrepareChild(ChildPlan* plan) {
  ResetSignalHandlers();
  if (setsid() < 0) return Fail(plan, "setsid");
  if (!EnterCgroup(plan)) return false;
  if (plan->netns_fd >= 0 && setns(plan->netns_fd, CLONE_NEWNET) != 0) {
    return Fail(plan, "setns", plan->netns_path);
  }
  if (plan->cwd != nullptr && chdir(plan->cwd) != 0) return Fail(plan, "chdir", plan->cwd);
  for (size_t i = 0; i < plan->limit_count; ++i) {
    const rlimit limit{plan->limits[i].value, plan->limits[i].value};
    if (syscall(SYS_prlimit64, 0, plan->limits[i].resource, &limit, nullptr) != 0)
      return Fail(plan, "prlimit");
  }
  return ArrangeDescriptors(plan) && ChangeUser(plan) && CloseOtherDescriptors(plan);
}

NO_SANITIZE int ChildMain(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  if (PrepareChild(plan)) {
    SetSignalMask(0, nullptr);
    execve(plan->file, plan->argv, plan->envp);
    static_cast<void>(Fail(plan, "execve", plan->file));
  }
  return 127;
}

bool IsExecutable(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(path.c_str(), X_OK) == 0;
}

// As execvpe: a name without a slash is searched in PATH of the child's environment.
Result<std::string> FindExecutable(const SpawnRequest& request) {
  if (request.file.find('/') != std::string::npos) return request.file;
  std::string search = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& entry : request.env) {
    if (entry.rfind("PATH=", 0) == 0) search = entry.substr(5);
  }
  for (size_t begin = 0; begin <= search.size();) {
    const size_t end = std::min(search.find(':', begin), search.size());
    // An empty entry would be the working directory: nobody means that.
    const std::string candidate = search.substr(begin, end - begin) + "/" + request.file;
    if (end > begin && IsExecutable(candidate)) return candidate;
    begin = end + 1;
  }
  return SysError{ENOENT, "execve", request.file};
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // SAFETY: execve takes non-const pointers for historical reasons only.
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

struct OpenedInputs {
  UniqueFd dev_null;
  UniqueFd netns;
  UniqueFd cgroup;
};

Result<OpenedInputs> OpenInputs(const SpawnRequest& request) {
  OpenedInputs inputs;
  auto dev_null = OpenFile("/dev/null", O_RDWR);
  if (!dev_null.Ok()) return dev_null.Error();
  inputs.dev_null = std::move(dev_null.Value());
  if (!request.netns.empty()) {
    auto netns = OpenFile(request.netns, O_RDONLY);
    if (!netns.Ok()) return netns.Error();
    inputs.netns = std::move(netns.Value());
  }
  if (!request.cgroup.empty()) {
    auto cgroup = OpenDirectory(request.cgroup);
    if (!cgroup.Ok()) return cgroup.Error();
    inputs.cgroup = std::move(cgroup.Value());
  }
  return inputs;
}

Result<SpawnedChild> RunPlan(ChildPlan* plan) {
  std::optional<KeepDumpable> keep_dumpable;
  if (plan->uid || plan->gid) keep_dumpable.emplace();
  KernelSignalSet before = 0;
  SetSignalMask(~KernelSignalSet{0}, &before);
  auto cloned = CloneSharingMemory(ChildMain, plan, &plan->cgroup);
  SetSignalMask(before, nullptr);
  keep_dumpable.reset();
  if (!cloned.Ok())
    return SysError{cloned.Error().number, cloned.Error().syscall,
                    plan->cgroup_path == nullptr ? "" : plan->cgroup_path};
  ClonedChild& child = cloned.Value();
  ScopeExit reap([&] { KillAndReap(child.pidfd.Get()); });
  if (plan->failed_errno != 0) {
    return SysError{plan->failed_errno, plan->failed_syscall,
                    plan->failed_path == nullptr ? "" : plan->failed_path};
  }
  // A child that has ended is a zombie until we reap it, so its entry in /proc is there in any case.
  auto identity = IdentifyProcess(child.pid);
  if (!identity.Ok()) return identity.Error();
  if (!identity.Value()) return SysError{ESRCH, "open", "/proc/" + std::to_string(child.pid) + "/stat"};
  reap.Dismiss();
  return SpawnedChild{std::move(*identity.Value()), std::move(child.pidfd)};
}

}  // namespace

SpawnedChild::~SpawnedChild() {
  if (pidfd) KillAndReap(pidfd.Get());
}

Result<SpawnedChild> Spawn(const SpawnRequest& request) {
  auto file = FindExecutable(request);
  if (!file.Ok()) return file.Error();
  auto inputs = OpenInputs(request);
  if (!inputs.Ok()) return inputs.Error();
  std::vector<int> fds = request.fds;
  while (fds.size() < 3) fds.push_back(-1);
  std::replace(fds.begin(), fds.end(), -1, inputs.Value().dev_null.Get());
  const std::vector<char*> argv = Pointers(request.args);
  const std::vector<char*> envp = Pointers(request.env);

  ChildPlan plan;
  plan.file = file.Value().c_str();
  plan.argv = argv.data();
  plan.envp = envp.data();
  plan.cwd = request.cwd.empty() ? nullptr : request.cwd.c_str();
  plan.fds = fds.data();
  plan.fd_count = static_cast<int>(fds.size());
  plan.netns_fd = inputs.Value().netns.Get();
  plan.limits = request.limits.data();
  plan.limit_count = request.limits.size();
  plan.uid = request.uid;
  plan.gid = request.gid;
  plan.netns_path = request.netns.c_str();
  plan.cgroup.fd = inputs.Value().cgroup.Get();
  plan.cgroup_path = request.cgroup.c_str();
  return RunPlan(&plan);
}

}  // namespace microvm::core
