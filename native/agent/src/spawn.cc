#include "spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <climits>

namespace microvm::agent {
namespace {

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

enum Step { kStepSession, kStepCgroup, kStepCwd, kStepExec };

rlimit inherited_limit{};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

int MakePipe(Pipe* pipe) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return errno;
  pipe->read = UniqueFd(fds[0]);
  pipe->write = UniqueFd(fds[1]);
  return 0;
}

void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

std::vector<char*> Environment(const std::vector<std::string>& changes) {
  std::vector<char*> result;
  for (char** entry = environ; *entry != nullptr; entry++) {
    const char* equals = strchr(*entry, '=');
    const size_t name = equals == nullptr ? strlen(*entry) : static_cast<size_t>(equals - *entry) + 1;
    bool changed = false;
    for (const std::string& change : changes) changed = changed || change.compare(0, name, *entry, name) == 0;
    if (!changed) result.push_back(*entry);
  }
  // SAFETY: execvpe takes char* for history's sake; it does not write.
  for (const std::string& change : changes) result.push_back(const_cast<char*>(change.c_str()));
  result.push_back(nullptr);
  return result;
}

struct ChildPlan {
  const char* cwd;
  char* const* argv;
  char** env;
  int in, out, err, status;
  int cgroup_procs_fd;
};

[[noreturn]] void Report(const ChildPlan& plan, Step step) {
  const SpawnFailure failure{errno, step};
  [[maybe_unused]] const ssize_t written = write(plan.status, &failure, sizeof(failure));
  _exit(127);
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  // Handlers and the mask of the agent are nothing to the command. SIGKILL and SIGSTOP answer an error, which
  // is fine.
  for (int number = 1; number <= SIGRTMAX; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (setsid() < 0) Report(plan, kStepSession);
  if (plan.cgroup_procs_fd >= 0 && write(plan.cgroup_procs_fd, "0", 1) != 1) Report(plan, kStepCgroup);
  if (dup2(plan.in, 0) < 0 || dup2(plan.out, 1) < 0 || dup2(plan.err, 2) < 0) Report(plan, kStepSession);
  // What the agent itself inherited may lack the flag.
  syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC);
  if (inherited_limit.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &inherited_limit);
  const int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0 && write(oom, "0", 1) != 1) errno = 0;
  if (chdir(plan.cwd) != 0) Report(plan, kStepCwd);
  environ = plan.env;
  execvp(plan.argv[0], plan.argv);
  Report(plan, kStepExec);
}

}  // namespace

const char* SpawnStepName(int step) {
  switch (step) {
    case kStepCgroup:
      return "cgroup";
    case kStepCwd:
      return "cwd";
    case kStepExec:
      return "exec";
    default:
      return "session";
  }
}

int Spawn(const SpawnRequest& request, int cgroup_procs_fd, Child* child) {
  Pipe in, out, err, status;
  for (Pipe* pipe : {&in, &out, &err, &status}) {
    if (const int error = MakePipe(pipe); error != 0) return error;
  }
  std::vector<char*> argv;
  // SAFETY: as in Environment.
  for (const std::string& argument : request.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> env = Environment(request.env);
  const ChildPlan plan{request.cwd.c_str(), argv.data(),     env.data(),         in.read.get(),
                       out.write.get(),     err.write.get(), status.write.get(), cgroup_procs_fd};

  const pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) RunChild(plan);

  child->pid = pid;
  child->in = std::move(in.write);
  child->out = std::move(out.read);
  child->err = std::move(err.read);
  child->status = std::move(status.read);
  for (const UniqueFd* fd : {&child->in, &child->out, &child->err, &child->status}) SetNonBlocking(fd->get());
  return 0;
}

void RaiseDescriptorLimit() {
  if (getrlimit(RLIMIT_NOFILE, &inherited_limit) != 0) return;
  rlimit raised = inherited_limit;
  // Four descriptors for each command, and some.
  raised.rlim_cur = raised.rlim_max < 8192 ? raised.rlim_max : 8192;
  if (raised.rlim_cur > inherited_limit.rlim_cur) setrlimit(RLIMIT_NOFILE, &raised);
}

}  // namespace microvm::agent
