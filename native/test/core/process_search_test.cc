#include "core/process_search.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "check.h"

using namespace microvm::core;
using microvm::test::TemporaryFolder;

namespace {

// A child that does what it is told and then waits to be killed; it is told of by its pid.
class Child {
 public:
  template <typename Body>
  explicit Child(const Body& body) {
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const char answer = body() ? 'y' : 'n';
      if (write(ready[1], &answer, 1) == 1) {
        while (true) pause();
      }
      _exit(1);
    }
    char answer = 0;
    is_ready_ = read(ready[0], &answer, 1) == 1 && answer == 'y';
    close(ready[0]);
    close(ready[1]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { microvm::test::EndChild(pid_); }
  pid_t Pid() const { return pid_; }
  bool IsReady() const { return is_ready_; }

 private:
  pid_t pid_ = -1;
  bool is_ready_ = false;
};

// A process whose command line does not answer: who opens it waits, as for memory on a file system that
// hangs.
class HiddenArguments {
 public:
  HiddenArguments(const TemporaryFolder& folder, pid_t pid)
      : fifo_(folder / "fifo"), target_("/proc/" + std::to_string(pid) + "/cmdline") {
    is_hidden_ = unshare(CLONE_NEWNS) == 0 &&
                 mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                 mkfifo(fifo_.c_str(), 0600) == 0 &&
                 mount(fifo_.c_str(), target_.c_str(), nullptr, MS_BIND, nullptr) == 0;
  }
  HiddenArguments(const HiddenArguments&) = delete;
  HiddenArguments& operator=(const HiddenArguments&) = delete;
  ~HiddenArguments() { Show(); }
  bool AreHidden() const { return is_hidden_; }
  // The command line answers again, and so does every read that waits.
  void Show() {
    if (!is_hidden_) return;
    CHECK(umount2(target_.c_str(), MNT_DETACH) == 0);
    CHECK(OpenFile(fifo_, O_WRONLY).Ok());
    is_hidden_ = false;
  }

 private:
  std::string fifo_;
  std::string target_;
  bool is_hidden_ = false;
};

ProcessQuery Named(const std::string& argument) {
  ProcessQuery query;
  query.argument = argument;
  query.deadline = std::chrono::milliseconds(300);
  return query;
}

std::vector<pid_t> PidsOf(const ProcessQuery& query) {
  auto result = SearchProcesses(query);
  std::vector<pid_t> pids;
  CHECK(result.Ok());
  if (!result.Ok()) return pids;
  for (const FoundProcess& process : result.Value().found) pids.push_back(process.identity.pid);
  return pids;
}

bool Contains(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

constexpr char kOurName[] = "process_search_test";

}  // namespace

TEST(finds_others_by_an_argument_and_never_ourselves) {
  const Child child([] { return true; });
  const auto pids = PidsOf(Named(kOurName));
  CHECK(Contains(pids, child.Pid()) && !Contains(pids, getpid()));
  CHECK(!Contains(PidsOf(Named("no such argument, surely")), child.Pid()));
}

TEST(each_field_narrows_the_search) {
  const TemporaryFolder folder;
  const Child here([&] { return chdir(folder.Path().c_str()) == 0; });
  const Child elsewhere([] { return chdir("/") == 0; });
  ProcessQuery query = Named(kOurName);
  query.cwd = folder.Path();
  CHECK(PidsOf(query) == std::vector<pid_t>{here.Pid()});
  query = Named(kOurName);
  query.pids = {{elsewhere.Pid(), elsewhere.Pid(), getpid()}};
  CHECK(PidsOf(query) == std::vector<pid_t>{elsewhere.Pid()});
  query.uid = getuid() + 1;
  CHECK(PidsOf(query).empty());
  query.uid = getuid();
  query.cgroup = "/no/such/cgroup";
  CHECK(PidsOf(query).empty());
  query.cgroup.clear();
  auto found = SearchProcesses(query);
  CHECK(found.Ok() && found.Value().found.size() == 1 && found.Value().unanswered.empty());
  const FoundProcess& process = found.Value().found.front();
  CHECK(process.uid == getuid() && process.cwd == "/" && process.root == "/" &&
        !process.identity.start_time.empty());
  query.pids = std::vector<pid_t>();
  CHECK(PidsOf(query).empty());
}

TEST(a_user_and_a_root_tell_a_jailed_process_from_one_that_says_it_is_it) {
  if (getuid() != 0) return;
  const TemporaryFolder folder;
  const Child jailed([&] {
    return chroot(folder.Path().c_str()) == 0 && chdir("/") == 0 && setresgid(20001, 20001, 20001) == 0 &&
           setresuid(20001, 20001, 20001) == 0;
  });
  const Child decoy([] { return setresuid(20001, 20001, 20001) == 0; });
  const Child half([&] { return chroot(folder.Path().c_str()) == 0 && setresuid(20001, 0, 0) == 0; });
  CHECK(jailed.IsReady() && decoy.IsReady() && half.IsReady());
  ProcessQuery query = Named(kOurName);
  query.uid = 20001;
  query.root = folder.Path();
  CHECK(PidsOf(query) == std::vector<pid_t>{jailed.Pid()});
}

TEST(a_process_that_does_not_answer_holds_up_no_other_and_is_told_of_until_it_answers) {
  const TemporaryFolder folder;
  const Child stuck([] { return true; });
  const Child healthy([] { return true; });
  HiddenArguments hidden(folder, stuck.Pid());
  if (!hidden.AreHidden()) {
    fprintf(stderr, "skipped: no right to mount\n");
    return;
  }
  ProcessQuery both = Named(kOurName);
  both.pids = {{stuck.Pid(), healthy.Pid()}};
  for (int round = 0; round < 3; ++round) {
    auto result = SearchProcesses(both);
    CHECK(result.Ok() && result.Value().unanswered.size() == 1 && result.Value().found.size() == 1);
    CHECK(result.Value().found.front().identity.pid == healthy.Pid());
    const UnansweredProcess& unanswered = result.Value().unanswered.front();
    CHECK(unanswered.pid == stuck.Pid());
    // Its user and start time were read before its arguments.
    if (round == 0) CHECK(unanswered.uid == getuid() && !unanswered.start_time.empty());
  }
  // Who is no candidate is not read.
  ProcessQuery query = Named(kOurName);
  query.pids = {{healthy.Pid()}};
  auto narrowed = SearchProcesses(query);
  CHECK(narrowed.Ok() && narrowed.Value().unanswered.empty() && narrowed.Value().found.size() == 1);
  hidden.Show();
  // The reader that was given up comes back.
  while (!Contains(PidsOf(Named(kOurName)), stuck.Pid())) sched_yield();
}

TEST(a_folder_that_is_not_there_is_an_error) {
  ProcessQuery query;
  query.root = "/no/such/folder";
  auto result = SearchProcesses(query);
  CHECK(!result.Ok() && result.Error().number == ENOENT);
}

RUN_TESTS()
