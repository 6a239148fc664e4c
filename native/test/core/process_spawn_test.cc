#include "core/process_spawn.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <thread>

#include "check.h"
#include "core/process_wait.h"
#include "refuse_syscall.h"

using namespace microvm::core;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;

namespace {

SpawnRequest Shell(const std::string& script) {
  SpawnRequest request;
  request.file = "/bin/sh";
  request.args = {"sh", "-c", script};
  request.env = {"PATH=/usr/bin:/bin"};
  return request;
}

// Runs to the end; the exit code, -signal, or -1000 for a spawn that failed.
int Finish(const SpawnRequest& request) {
  auto child = Spawn(request);
  if (!child.Ok()) return -1000;
  const ProcessEnd end = WaitForChild(child.Value().pidfd.Get());
  child.Value().pidfd.Reset();
  return end.exit_code ? *end.exit_code : -end.signal.value_or(2000);
}

bool FailsWith(const SpawnRequest& request, int number, const std::string& syscall, const std::string& path) {
  auto child = Spawn(request);
  if (child.Ok()) return false;
  const SysError& error = child.Error();
  if (error.number == number && error.syscall == syscall && error.path == path) return true;
  fprintf(stderr, "  got %s %s %s\n", error.syscall, strerror(error.number), error.path.c_str());
  return false;
}

bool HasChildren() { return waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

}  // namespace

TEST(reports_how_a_child_ended) {
  CHECK(Finish(Shell("exit 7")) == 7);
  CHECK(Finish(Shell("kill -9 $$")) == -9);
  SpawnRequest by_name = Shell("true");
  by_name.file = "true";
  CHECK(Finish(by_name) == 0);
  CHECK(!HasChildren());
}

TEST(a_failure_names_its_step_and_leaves_no_child) {
  SpawnRequest request = Shell("true");
  request.file = "/no/such";
  CHECK(FailsWith(request, ENOENT, "execve", "/no/such"));
  request.file = "no-such-program";
  CHECK(FailsWith(request, ENOENT, "execve", "no-such-program"));
  const TemporaryFolder folder;
  request.file = folder / "not-executable";
  microvm::test::WriteText(request.file, "");
  CHECK(FailsWith(request, EACCES, "execve", request.file));
  request = Shell("true");
  request.cwd = "/no/such";
  CHECK(FailsWith(request, ENOENT, "chdir", "/no/such"));
  request = Shell("true");
  request.netns = "/dev/null";
  CHECK(FailsWith(request, EINVAL, "setns", "/dev/null"));
  request = Shell("true");
  request.fds = {987654};
  CHECK(FailsWith(request, EBADF, "dup2", ""));
  request = Shell("true");
  request.limits = {{RLIMIT_NOFILE, rlim_t{1} << 40}};
  CHECK(FailsWith(request, EPERM, "prlimit", ""));
  CHECK(!HasChildren());
}

TEST(the_child_has_its_own_session_and_only_its_descriptors) {
  const TemporaryFolder folder;
  auto log = OpenFile(folder / "log", O_RDWR | O_CREAT, 0600);
  // Not close-on-exec: must not get through all the same.
  const UniqueFd stray(open("/dev/zero", O_RDONLY));
  const UniqueFd high(fcntl(stray.Get(), F_DUPFD, 900));
  SpawnRequest request =
      Shell("for f in /proc/self/fd/*; do readlink $f; done; cut -d' ' -f5,6 /proc/$$/stat; echo $$");
  request.fds = {-1, log.Value().Get(), log.Value().Get(), log.Value().Get(), -1};
  CHECK(Finish(request) == 0);
  const std::string text = ReadText(folder / "log");
  CHECK(text.find("/dev/zero") == std::string::npos);
  CHECK(text.find("/dev/null\n" + (folder / "log") + "\n" + (folder / "log") + "\n" + (folder / "log") +
                  "\n/dev/null\n") == 0);
  // Process group and session are the shell's own pid.
  int group = 0, session = 0, pid = -1;
  const size_t numbers = text.find_last_of("/", std::string::npos);
  const size_t line = text.find('\n', numbers) + 1;
  CHECK(sscanf(text.c_str() + line, "%d %d %d", &group, &session, &pid) == 3);
  CHECK(group == pid && session == pid);
}

TEST(descriptors_may_be_given_in_any_order) {
  const TemporaryFolder folder;
  auto file = OpenFile(folder / "f", O_RDWR | O_CREAT, 0600);
  // Sources inside the range of the targets, swapped.
  const UniqueFd a(fcntl(file.Value().Get(), F_DUPFD_CLOEXEC, 3));
  SpawnRequest request = Shell("readlink /proc/self/fd/0; readlink /proc/self/fd/2");
  request.fds = {2, a.Get(), 0};
  CHECK(Finish(request) == 0);
  char standard_input[256] = "", standard_error[256] = "";
  CHECK(readlink("/proc/self/fd/0", standard_input, 255) > 0 &&
        readlink("/proc/self/fd/2", standard_error, 255) > 0);
  CHECK(ReadText(folder / "f") == std::string(standard_error) + "\n" + standard_input + "\n");
}

TEST(signals_are_default_and_unblocked_in_the_child) {
  signal(SIGTERM, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  CHECK(Finish(Shell("kill -TERM $$; exit 3")) == -SIGTERM);
  sigset_t now;
  pthread_sigmask(SIG_UNBLOCK, &set, &now);
  CHECK(sigismember(&now, SIGTERM) == 1);
  CHECK(sigismember(&now, SIGINT) == 0);
  signal(SIGTERM, SIG_DFL);
}

TEST(environment_directory_and_limits_are_those_given) {
  const TemporaryFolder folder;
  auto log = OpenFile(folder / "log", O_RDWR | O_CREAT, 0600);
  SpawnRequest request =
      Shell("/usr/bin/env | grep -v ^PWD | grep -v ^_ | grep -v SHLVL | sort; pwd; ulimit -n");
  request.env = {"A=1", "B=two words"};
  request.cwd = folder.Path();
  request.fds = {-1, log.Value().Get(), 2};
  request.limits = {{RLIMIT_NOFILE, 77}};
  CHECK(Finish(request) == 0);
  CHECK(ReadText(folder / "log") == "A=1\nB=two words\n" + folder.Path() + "\n77\n");
}

TEST(changes_the_user_of_the_child_alone) {
  if (getuid() != 0) return;
  SpawnRequest request = Shell("test \"$(id -u):$(id -g):$(id -G)\" = 65534:65533:65533");
  request.uid = 65534;
  request.gid = 65533;
  CHECK(Finish(request) == 0);
  CHECK(getuid() == 0 && getgid() == 0);
}

TEST(a_child_of_another_user_leaves_us_dumpable) {
  if (getuid() != 0) return;
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      SpawnRequest request = Shell("true");
      request.uid = 65534;
      for (int i = 0; i < 10; ++i) CHECK(Finish(request) == 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
  SpawnRequest request = Shell("true");
  request.uid = 65534;
  CHECK(Finish(request) == 0);
  CHECK(prctl(PR_GET_DUMPABLE) == 0);
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
}

TEST(an_unclaimed_child_is_killed_and_reaped) {
  pid_t pid = 0;
  {
    auto child = Spawn(Shell("exec sleep 1000"));
    CHECK(child.Ok());
    pid = child.Value().identity.pid;
  }
  CHECK(kill(pid, 0) != 0 && errno == ESRCH);
}

TEST(many_threads_spawn_at_once) {
  std::vector<std::thread> threads;
  int failures[4] = {};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&failures, t] {
      for (int i = 0; i < 25; ++i) failures[t] += Finish(Shell("exit 5")) == 5 ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : failures) CHECK(count == 0);
  CHECK(!HasChildren());
}

TEST(enters_a_cgroup_where_there_is_one) {
  for (const std::string root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    const std::string group = root + "/microvm-native-test-" + std::to_string(getpid());
    if (access((root + "/cgroup.controllers").c_str(), F_OK) != 0 || mkdir(group.c_str(), 0700) != 0)
      continue;
    SpawnRequest request = Shell("grep -q microvm-native-test /proc/self/cgroup");
    request.cgroup = group;
    CHECK(Finish(request) == 0);
    CHECK(rmdir(group.c_str()) == 0);
    printf("     (in %s)\n", root.c_str());
  }
}

// Last: the filters stay.
TEST(works_where_clone3_and_close_range_are_refused) {
  CHECK(microvm::test::RefuseSyscall(SYS_clone3));
  CHECK(microvm::test::RefuseSyscall(436));  // close_range
  CHECK(Finish(Shell("exit 7")) == 7);
  SpawnRequest request = Shell("true");
  request.file = "/no/such";
  CHECK(FailsWith(request, ENOENT, "execve", "/no/such"));
  const UniqueFd stray(fcntl(0, F_DUPFD, 500));
  CHECK(Finish(Shell("test ! -e /proc/self/fd/500")) == 0);
  enters_a_cgroup_where_there_is_one();
  CHECK(!HasChildren());
}

RUN_TESTS()
