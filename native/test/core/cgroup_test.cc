#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "check.h"
#include "core/cgroup/cgroup_create.h"
#include "core/cgroup/cgroup_directory.h"
#include "core/cgroup/cgroup_kill.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;

namespace {

std::string CgroupMount() {
  std::ifstream mounts("/proc/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device, path, type;
    fields >> device >> path >> type;
    if (type == "cgroup2") return path;
  }
  return {};
}

// A cgroup of its own for a test; empty where none can be made.
class TestCgroup {
 public:
  TestCgroup() {
    static int made = 0;
    const std::string mount = CgroupMount();
    path_ = mount + "/microvm-cpp-" + std::to_string(getpid()) + "-" + std::to_string(++made);
    if (mount.empty() || !CreateCgroup(path_, {}).Ok()) path_.clear();
    if (path_.empty()) printf("skip: no cgroup can be made here\n");
  }
  TestCgroup(const TestCgroup&) = delete;
  TestCgroup& operator=(const TestCgroup&) = delete;
  ~TestCgroup() {
    if (*this) static_cast<void>(Kill(true));
  }
  explicit operator bool() const { return !path_.empty(); }
  const std::string& Path() const { return path_; }

  Result<CgroupEnd> Kill(bool may_use_kill_file) const {
    CgroupKillRequest request;
    request.path = path_;
    request.may_use_kill_file = may_use_kill_file;
    return KillCgroup(request, Cancellation());
  }

 private:
  std::string path_;
};

// Moves itself into the cgroup and waits, or forks without end.
pid_t StartIn(const std::string& cgroup, bool forks) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int procs = open((cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (write(procs, "0", 1) != 1) _exit(1);
  while (forks) {
    const pid_t next = fork();
    if (next < 0) break;
    // The parent ends, so that every list of processes is old when it is read.
    if (next > 0) _exit(0);
    usleep(100);
  }
  while (true) pause();
}

void WaitUntilPopulated(const std::string& cgroup) {
  while (ValueOf(ReadText(cgroup + "/cgroup.events"), "populated") != 1) std::this_thread::yield();
}

}  // namespace

TEST(without_the_kill_file_the_processes_are_killed_one_by_one) {
  TestCgroup cgroup;
  if (!cgroup) return;
  const std::string inner = cgroup.Path() + "/inner";
  CHECK(CreateCgroup(inner, {}).Ok());
  std::vector<pid_t> children;
  for (int i = 0; i < 70; ++i) children.push_back(StartIn(i % 2 == 0 ? cgroup.Path() : inner, false));
  WaitUntilPopulated(inner);
  auto end = cgroup.Kill(false);
  CHECK(end.Ok() && end.Value().existed);
  CHECK(!Exists(cgroup.Path()));
  for (const pid_t child : children) {
    int status = 0;
    // One that had not got into it by then could not get into it afterwards.
    const bool ended = waitpid(child, &status, 0) == child;
    CHECK(ended && (WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 1));
  }
}

TEST(without_the_kill_file_a_chain_of_forks_ends_too) {
  TestCgroup cgroup;
  if (!cgroup) return;
  const pid_t first = StartIn(cgroup.Path(), true);
  CHECK(waitpid(first, nullptr, 0) == first);
  WaitUntilPopulated(cgroup.Path());
  auto end = cgroup.Kill(false);
  CHECK(end.Ok() && end.Value().existed);
  CHECK(!Exists(cgroup.Path()));
}

TEST(a_cancelled_killing_leaves_the_cgroup) {
  TestCgroup cgroup;
  if (!cgroup) return;
  const pid_t child = StartIn(cgroup.Path(), false);
  WaitUntilPopulated(cgroup.Path());
  Cancellation cancellation;
  cancellation.Cancel();
  CgroupKillRequest request;
  request.path = cgroup.Path();
  auto end = KillCgroup(request, cancellation);
  if (!end.Ok()) CHECK(end.Error().number == ECANCELED && Exists(cgroup.Path()));
  CHECK(waitpid(child, nullptr, 0) == child);
}

TEST(removes_nothing_but_cgroups) {
  TemporaryFolder folder;
  CHECK(mkdir((folder / "empty").c_str(), 0700) == 0);
  CgroupKillRequest request;
  request.path = folder / "empty";
  auto end = KillCgroup(request, Cancellation());
  CHECK(!end.Ok() && end.Error().number == EINVAL);
  CHECK(Exists(folder / "empty"));
  CHECK(CreateCgroup(folder / "empty" + "/x", {}).Error().number == EINVAL);
  CHECK(!Exists(folder / "empty" + "/x"));
}

TEST(a_link_to_a_cgroup_is_not_the_cgroup) {
  TestCgroup cgroup;
  if (!cgroup) return;
  TemporaryFolder folder;
  CHECK(symlink(cgroup.Path().c_str(), (folder / "link").c_str()) == 0);
  CgroupKillRequest request;
  request.path = folder / "link";
  auto end = KillCgroup(request, Cancellation());
  CHECK(!end.Ok() && end.Error().number == ENOTDIR);
  // One above it is as good as the cgroup's own path.
  CHECK(CreateCgroup(folder / "link" + "/x", {}).Ok());
  CHECK(Exists(cgroup.Path() + "/x"));
}

TEST(reads_lists_and_figures) {
  CHECK(HasWord("cpu memory\n", "memory"));
  CHECK(!HasWord("cpuset memory\n", "cpu"));
  CHECK(ValueOf("low 0\noom 3\noom_kill 2\n", "oom_kill") == 2);
  CHECK(ValueOf("populated 0\n", "frozen") == -1);
  CHECK(ValueOf("", "populated") == -1);
}

RUN_TESTS()
