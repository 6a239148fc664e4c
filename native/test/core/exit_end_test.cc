#include "core/exit_end.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include "check.h"
#include "core/durable_committer.h"
#include "core/running_jobs.h"
#include "job_fixture.h"

using namespace microvm::core;
using namespace microvm::test;

namespace {

using std::chrono::milliseconds;

// A process of its own: its threads, and its exit. No test may start a thread in this one.
int ExitCodeOf(const std::function<void()>& body) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    body();
    // SAFETY (of its not being _exit): the handlers are what is tested.
    exit(7);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

void Sleep(int ms) { std::this_thread::sleep_for(milliseconds(ms)); }

int TemporaryFilesIn(const std::string& path) {
  int count = 0;
  DIR* directory = opendir(path.c_str());
  while (const dirent* entry = readdir(directory)) {
    if (std::string(entry->d_name).rfind(".tmp-", 0) == 0) ++count;
  }
  closedir(directory);
  return count;
}

}  // namespace

TEST(an_exit_waits_until_a_job_has_taken_back_what_is_half_made) {
  const TemporaryFolder folder;
  const std::string half_made = folder / "half-made";
  const int code = ExitCodeOf([&] {
    const auto jobs = RunningJobs::Create();
    Gate begun;
    const auto cancellation = std::make_shared<Cancellation>();
    static_cast<void>(jobs->Run(&JobQueue::ForCalls(), {"job", cancellation, [&] {
                                                          WriteText(half_made, "x");
                                                          begun.Open();
                                                          while (!cancellation->IsRequested()) Sleep(1);
                                                          Sleep(50);
                                                          unlink(half_made.c_str());
                                                        }}));
    begun.Pass();
    exit(7);
  });
  CHECK(code == 7);
  CHECK(!Exists(half_made));
}

TEST(an_exit_carries_changes_through_that_have_begun) {
  const TemporaryFolder folder;
  for (int round = 0; round < 20; ++round) {
    const int code = ExitCodeOf([&] {
      for (int i = 0; i < 50; ++i) {
        DurableChange change;
        change.path = folder / std::to_string(i);
        change.data = "x";
        change.done = [](const Status&) {};
        static_cast<void>(DurableCommitter::Instance().Submit(std::move(change)));
      }
    });
    CHECK(code == 7);
  }
  CHECK(TemporaryFilesIn(folder.Path()) == 0);
}

TEST(an_exit_does_not_wait_for_ever) {
  const auto before = EndsAtExit::Clock::now();
  const int code = ExitCodeOf([] {
    const auto never = std::make_shared<Gate>();
    const auto jobs = RunningJobs::Create();
    static_cast<void>(
        jobs->Run(nullptr, {"job", std::make_shared<Cancellation>(), [never] { never->Pass(); }}));
    exit(7);
  });
  CHECK(code == 7);
  CHECK(EndsAtExit::Clock::now() - before < std::chrono::seconds(30));
}

TEST(an_owner_that_is_gone_is_in_no_way) {
  const int code = ExitCodeOf([] {
    for (int i = 0; i < 1000; ++i) static_cast<void>(RunningJobs::Create());
  });
  CHECK(code == 7);
}

TEST(a_fork_of_ours_exits_without_waiting_for_threads_that_it_has_not) {
  const auto before = EndsAtExit::Clock::now();
  const int code = ExitCodeOf([] {
    class Stuck final : public EndsAtExit {
     public:
      void BeginEnd() override { abort(); }
      bool AwaitEnd(Clock::time_point) override { abort(); }
    };
    const auto stuck = std::make_shared<Stuck>();
    EndAtExit(stuck);
    const int inner = ExitCodeOf([] {});
    _exit(inner);
  });
  CHECK(code == 7);
  CHECK(EndsAtExit::Clock::now() - before < std::chrono::seconds(4));
}

RUN_TESTS()
