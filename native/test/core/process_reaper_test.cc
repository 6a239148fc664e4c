#include "core/process_reaper.h"

#include <signal.h>
#include <sys/wait.h>

#include <condition_variable>
#include <optional>

#include "check.h"
#include "core/process_spawn.h"

using namespace microvm::core;

namespace {

// Collects ends from the reaper's thread.
class Ends {
 public:
  WatchedProcess::OnEnd Callback() {
    return [this](const ProcessEnd& end) {
      const std::lock_guard lock(mutex_);
      ends_.push_back(end);
      changed_.notify_all();
    };
  }
  std::vector<ProcessEnd> Await(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return ends_.size() >= count; });
    return ends_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ProcessEnd> ends_;
};

SpawnedChild Start(const std::string& script) {
  SpawnRequest request;
  request.file = "/bin/sh";
  request.args = {"sh", "-c", script};
  auto child = Spawn(request);
  CHECK(child.Ok());
  return std::move(child.Value());
}

std::shared_ptr<WatchedProcess> Watch(SpawnedChild child, bool is_child, Ends* ends) {
  auto watched =
      ProcessReaper::Instance().Watch(std::move(child.pidfd), child.identity, is_child, ends->Callback());
  CHECK(watched.Ok());
  return watched.Value();
}

}  // namespace

TEST(reports_every_end_and_leaves_no_zombie) {
  Ends ends;
  for (int i = 0; i < 100; ++i) Watch(Start("exit " + std::to_string(i)), true, &ends);
  const auto seen = ends.Await(100);
  int sum = 0;
  for (const ProcessEnd& end : seen) sum += end.exit_code.value_or(1000);
  CHECK(seen.size() == 100 && sum == 99 * 100 / 2);
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
}

TEST(a_signal_reaches_the_living_and_not_the_dead) {
  Ends ends;
  const auto process = Watch(Start("exec sleep 1000"), true, &ends);
  CHECK(process->Kill(0).Value());
  CHECK(process->Kill(SIGTERM).Value());
  const auto seen = ends.Await(1);
  CHECK(seen.size() == 1 && seen[0].signal == SIGTERM && !seen[0].exit_code);
  CHECK(!process->Kill(SIGTERM).Value());
  CHECK(process->Kill(12345).Ok());
}

TEST(a_process_let_go_is_reaped_without_a_report) {
  Ends ends;
  SpawnedChild child = Start("exec sleep 1000");
  const ProcessIdentity identity = child.identity;
  const auto process = Watch(std::move(child), true, &ends);
  process->LetGo();
  CHECK(!process->Kill(SIGKILL).Value());
  auto other = OpenPidfd(identity);
  CHECK(other.Ok() && other.Value());
  // Its end is seen by a watch that does not reap; the reaping by the pid being free.
  CHECK(SendSignal(other.Value()->Get(), SIGKILL).Value());
  while (IdentifyProcess(identity.pid).Value().has_value()) sched_yield();
  CHECK(ends.Await(0).empty());
}

TEST(an_adopted_process_is_watched_but_not_reaped) {
  Ends adopted;
  SpawnedChild child = Start("exec sleep 1000");
  auto pidfd = OpenPidfd(child.identity);
  CHECK(pidfd.Ok() && pidfd.Value());
  auto process =
      ProcessReaper::Instance().Watch(std::move(*pidfd.Value()), child.identity, false, adopted.Callback());
  CHECK(process.Value()->Kill(SIGKILL).Value());
  const auto seen = adopted.Await(1);
  CHECK(seen.size() == 1 && seen[0].signal == SIGKILL);
  CHECK(WaitForChild(child.pidfd.Get()).signal == SIGKILL);
  child.pidfd.Reset();
}

TEST(another_process_with_the_pid_is_never_taken) {
  SpawnedChild child = Start("exec sleep 1000");
  ProcessIdentity other_start = child.identity;
  other_start.start_time += "0";
  CHECK(!OpenPidfd(other_start).Value());
  ProcessIdentity other_boot = child.identity;
  other_boot.boot_id = "00000000-0000-0000-0000-000000000000";
  CHECK(!OpenPidfd(other_boot).Value());
  CHECK(OpenPidfd(child.identity).Value().has_value());
}

TEST(an_end_nobody_can_tell_is_unknown) {
  SpawnedChild child = Start("exit 3");
  const UniqueFd copy(fcntl(child.pidfd.Get(), F_DUPFD_CLOEXEC, 3));
  CHECK(WaitForChild(child.pidfd.Get()).exit_code == 3);
  child.pidfd.Reset();
  const ProcessEnd end = WaitForChild(copy.Get());
  CHECK(!end.exit_code && !end.signal);
}

RUN_TESTS()
