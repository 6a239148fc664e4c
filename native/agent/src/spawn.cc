#include "spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>

#include "accounts.h"
#include "terminal.h"

namespace microvm::agent {
namespace {

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

// The agent itself opens no more.
constexpr rlim_t kMostDescriptors = 8192;

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

// The child's ends of its standard streams.
struct Standard {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
};

int MakePipes(Standard* standard, Child* child) {
  Pipe in, out, err;
  for (Pipe* pipe : {&in, &out, &err}) {
    if (const int error = MakePipe(pipe); error != 0) return error;
  }
  *standard = {std::move(in.read), std::move(out.write), std::move(err.write)};
  child->in = std::move(in.write);
  child->out = std::move(out.read);
  child->err = std::move(err.read);
  return 0;
}

int MakeTerminal(const Terminal& terminal, Standard* standard, Child* child) {
  child->has_terminal = true;
  if (const int error = OpenTerminal(terminal, &child->out, &standard->in); error != 0) return error;
  for (UniqueFd* fd : {&standard->out, &standard->err}) {
    *fd = UniqueFd(fcntl(standard->in.Get(), F_DUPFD_CLOEXEC, 0));
    if (!*fd) return errno;
  }
  child->in = UniqueFd(fcntl(child->out.Get(), F_DUPFD_CLOEXEC, 0));
  return child->in ? 0 : errno;
}

std::string_view NameOf(std::string_view entry) { return entry.substr(0, entry.find('=')); }

// A later entry takes the place of an earlier one of the same name.
class Environment {
 public:
  void Set(std::string entry) {
    const auto [found, is_new] = places_.emplace(NameOf(entry), entries_.size());
    if (is_new) {
      entries_.push_back(std::move(entry));
    } else {
      entries_[found->second] = std::move(entry);
    }
  }
  // A secret among them is in no memory of ours once the child has it.
  ~Environment() {
    for (std::string& entry : entries_) explicit_bzero(entry.data(), entry.size());
  }
  explicit Environment(size_t most) { entries_.reserve(most); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  std::vector<char*> Pointers() {
    std::vector<char*> result;
    for (std::string& entry : entries_) result.push_back(entry.data());
    result.push_back(nullptr);
    return result;
  }

 private:
  std::vector<std::string> entries_;
  std::map<std::string, size_t> places_;  // by name
};

size_t CountOwn() {
  size_t count = 0;
  while (environ[count] != nullptr) count++;
  return count;
}

void FillEnvironment(const SpawnRequest& request, const std::vector<std::string>& environment,
                     const Account& account, Environment* to) {
  Environment& result = *to;
  for (char** entry = environ; *entry != nullptr; entry++) result.Set(*entry);
  if (!request.user.empty()) {
    result.Set("HOME=" + account.home);
    result.Set("SHELL=" + (account.shell.empty() ? "/bin/sh" : account.shell));
    const std::string name = account.name.empty() ? std::to_string(account.uid) : account.name;
    result.Set("USER=" + name);
    result.Set("LOGNAME=" + name);
  }
  if (request.terminal && !request.terminal->term.empty()) result.Set("TERM=" + request.terminal->term);
  for (const std::string& entry : environment) result.Set(entry);
  for (const std::string& entry : request.env) result.Set(entry);
}

struct ChildPlan {
  int (*run)();
  char* cwd;
  bool makes_cwd;
  char* const* argv;
  char** env;
  int in, out, err, status;
  bool has_terminal;
  int cgroup_procs_fd;
  const std::vector<ResourceLimit>* limits;
  const Account* account;  // null: the agent's own
};

[[noreturn]] void Report(const ChildPlan& plan, SpawnStep step) {
  const SpawnFailure failure{errno, step};
  [[maybe_unused]] const ssize_t written = write(plan.status, &failure, sizeof(failure));
  _exit(127);
}

bool HasGroups(const Account& account) {
  gid_t groups[64];
  const int count = getgroups(64, groups);
  if (count < 0) return false;
  std::vector<gid_t> own(groups, groups + count);
  own.erase(std::remove(own.begin(), own.end(), account.gid), own.end());
  std::sort(own.begin(), own.end());
  return own == account.groups;
}

// Only what differs is changed: an agent without privileges may still run commands as the user that it is.
bool BecomeUser(const Account& account) {
  // Else the command could not open /dev/stdout, which is root's pipe or terminal. One that is nobody's, such
  // as that of a user namespace, stays as it is.
  for (int fd = 0; account.uid != geteuid() && fd <= 2; fd++)
    [[maybe_unused]] const int changed = fchown(fd, account.uid, static_cast<gid_t>(-1));
  if (!HasGroups(account) && setgroups(account.groups.size(), account.groups.data()) != 0) return false;
  if (account.gid != getegid() && setresgid(account.gid, account.gid, account.gid) != 0) return false;
  return account.uid == geteuid() || setresuid(account.uid, account.uid, account.uid) == 0;
}

void SetLimits(const ChildPlan& plan) {
  for (const auto& [resource, value] : *plan.limits) {
    const rlimit limit{value, value};
    if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) Report(plan, kSpawnLimits);
  }
}

// Each folder of the path that is absent, as root and for all to read. What goes wrong is told by the chdir
// that follows.
void MakeFolders(char* path) {
  for (char* at = path + 1; *at != '\0'; at++) {
    if (*at != '/') continue;
    *at = '\0';
    mkdir(path, 0755);
    *at = '/';
  }
  mkdir(path, 0755);
}

// What an exec would have closed, and by it the pipe whose end says that the child has begun.
void CloseAllButStandard() {
  if (syscall(SYS_close_range, 3u, UINT_MAX, 0) == 0) return;
  rlimit limit{};
  const bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
  const int most = is_known && limit.rlim_max < kMostDescriptors ? static_cast<int>(limit.rlim_max)
                                                                 : static_cast<int>(kMostDescriptors);
  for (int fd = 3; fd < most; fd++) close(fd);
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  // Handlers and the mask of the agent are nothing to the command. SIGKILL and SIGSTOP answer an error, which
  // is fine.
  for (int number = 1; number <= SIGRTMAX; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (setsid() < 0) Report(plan, kSpawnSession);
  if (plan.cgroup_procs_fd >= 0 && write(plan.cgroup_procs_fd, "0", 1) != 1) Report(plan, kSpawnCgroup);
  if (dup2(plan.in, 0) < 0 || dup2(plan.out, 1) < 0 || dup2(plan.err, 2) < 0) Report(plan, kSpawnSession);
  if (plan.has_terminal && ioctl(0, TIOCSCTTY, 0) != 0) Report(plan, kSpawnTerminal);
  // What the agent itself inherited may lack the flag.
  syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC);
  if (inherited_limit.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &inherited_limit);
  const int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0 && write(oom, "0", 1) != 1) errno = 0;
  SetLimits(plan);
  if (plan.makes_cwd) MakeFolders(plan.cwd);
  if (plan.account != nullptr && !BecomeUser(*plan.account)) Report(plan, kSpawnUser);
  if (chdir(plan.cwd) != 0) Report(plan, kSpawnCwd);
  if (plan.run != nullptr) {
    CloseAllButStandard();
    _exit(plan.run());
  }
  environ = plan.env;
  execvp(plan.argv[0], plan.argv);
  Report(plan, kSpawnExec);
}

}  // namespace

const char* SpawnStepName(int step) {
  switch (step) {
    case kSpawnStart:
      return "start";
    case kSpawnTerminal:
      return "pty";
    case kSpawnCgroup:
      return "cgroup";
    case kSpawnLimits:
      return "rlimits";
    case kSpawnUser:
      return "user";
    case kSpawnCwd:
      return "cwd";
    case kSpawnExec:
      return "exec";
    case kSpawnArgv:
      return "argv";
    default:
      return "session";
  }
}

SpawnFailure Spawn(const SpawnRequest& request, const std::vector<std::string>& of_all, int cgroup_procs_fd,
                   Child* child) {
  Account account;
  if (!request.user.empty()) {
    if (const int error = ReadAccount(request.user, &account); error != 0) return {error, kSpawnUser};
    const bool names_group = request.user.find(':') != std::string::npos;
    if (request.is_image_user && account.name.empty() && !names_group) account.gid = 0;
  }
  Standard standard;
  Pipe status;
  if (const int error = MakePipe(&status); error != 0) return {error, kSpawnStart};
  const int error =
      request.terminal ? MakeTerminal(*request.terminal, &standard, child) : MakePipes(&standard, child);
  if (error != 0) return {error, request.terminal ? kSpawnTerminal : kSpawnStart};
  std::vector<char*> argv;
  // SAFETY: execvp takes char* for history's sake; it does not write.
  for (const std::string& argument : request.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // Those of a user and of a terminal are five.
  Environment environment(CountOwn() + 5 + of_all.size() + request.env.size());
  FillEnvironment(request, of_all, account, &environment);
  std::vector<char*> env = environment.Pointers();
  std::string cwd = request.cwd;
  const ChildPlan plan{request.run,
                       cwd.data(),
                       request.makes_cwd,
                       argv.data(),
                       env.data(),
                       standard.in.Get(),
                       standard.out.Get(),
                       standard.err.Get(),
                       status.write.Get(),
                       request.terminal.has_value(),
                       cgroup_procs_fd,
                       &request.limits,
                       request.user.empty() ? nullptr : &account};

  const pid_t pid = fork();
  if (pid < 0) return {errno, kSpawnStart};
  if (pid == 0) RunChild(plan);

  child->pid = pid;
  child->status = std::move(status.read);
  fcntl(child->status.Get(), F_SETFL, fcntl(child->status.Get(), F_GETFL) | O_NONBLOCK);
  return {0, kSpawnStart};
}

void RestoreDescriptorLimit() {
  if (inherited_limit.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &inherited_limit);
}

void RaiseDescriptorLimit() {
  if (getrlimit(RLIMIT_NOFILE, &inherited_limit) != 0) return;
  rlimit raised = inherited_limit;
  // Four descriptors for each command, and some.
  raised.rlim_cur = raised.rlim_max < kMostDescriptors ? raised.rlim_max : kMostDescriptors;
  if (raised.rlim_cur > inherited_limit.rlim_cur) setrlimit(RLIMIT_NOFILE, &raised);
}

}  // namespace microvm::agent
