#include "core/wait/socket_wait.h"

#include <signal.h>

#include "core/process_spawn.h"
#include "core/process_wait.h"
#include "wait_fixture.h"

using namespace microvm::core;
using namespace microvm::test;
using std::chrono::milliseconds;

namespace {

std::shared_ptr<Wait> Begin(const std::string& path, Ends* ends, std::optional<milliseconds> limit = {}) {
  auto wait = SocketWait::Begin({path, {}, limit}, ends->Callback());
  CHECK(wait.Ok());
  return wait.Value();
}

// Until the loop has done all that it was told before.
void Settle() {
  Ends ends;
  Begin("/nonexistent/socket", &ends)->Cancel();
  CHECK(NumberOf(ends.AwaitOne()) == ECANCELED);
}

SpawnedChild Start(const std::string& script) {
  SpawnRequest request;
  request.file = "/bin/sh";
  request.args = {"sh", "-c", script};
  auto child = Spawn(request);
  CHECK(child.Ok());
  return std::move(child.Value());
}

void Hello(UniqueFd connection) { Send(connection.Get(), "hello"); }

}  // namespace

TEST(a_socket_is_connected_to_before_and_after_the_wait_begins) {
  const TemporaryFolder folder;
  Ends ends;
  Begin(folder / "s", &ends);
  Settle();
  const Server server(folder / "s", Hello);
  WaitEnd end = ends.AwaitOne();
  CHECK(end.socket.Ok() && ReadSome(end.socket.Value().Get()) == "hello");
  Begin(folder / "s", &ends);
  end = ends.AwaitOne();
  CHECK(end.socket.Ok() && ReadSome(end.socket.Value().Get()) == "hello" && end.attempts == 1);
}

TEST(folders_may_be_made_removed_and_made_again) {
  const TemporaryFolder folder;
  const std::string deep = folder / "a/b";
  Ends ends;
  Begin(deep + "/s", &ends);
  for (int turn = 0; turn < 20; ++turn) {
    CHECK(mkdir((folder / "a").c_str(), 0700) == 0 && mkdir(deep.c_str(), 0700) == 0);
    if (turn % 2 == 0) Settle();
    CHECK(rmdir(deep.c_str()) == 0 && rmdir((folder / "a").c_str()) == 0);
    if (turn % 3 == 0) Settle();
  }
  CHECK(mkdir((folder / "a").c_str(), 0700) == 0 && mkdir(deep.c_str(), 0700) == 0);
  const Server server(deep + "/s", Hello);
  CHECK(ends.AwaitOne().socket.Ok());
}

TEST(many_waits_on_one_folder_each_see_their_own_socket) {
  const TemporaryFolder folder;
  Ends ends;
  for (int i = 0; i < 200; ++i) Begin(folder / ("s" + std::to_string(i % 4)), &ends);
  Settle();
  {
    const Server first(folder / "s0", Hello);
    CHECK(ends.Await(50).size() == 50);
  }
  const Server second(folder / "s1", Hello);
  const Server third(folder / "s2", Hello);
  const Server fourth(folder / "s3", Hello);
  for (const WaitEnd& end : ends.Await(150)) CHECK(NumberOf(end) == 0);
}

TEST(the_limit_tells_where_it_stood) {
  const TemporaryFolder folder;
  Ends ends;
  Begin(folder / "none", &ends, milliseconds(1));
  WaitEnd end = ends.AwaitOne();
  CHECK(NumberOf(end) == ETIMEDOUT && end.stage == WaitStage::kNoSocket && end.attempts == 0);
  CHECK(end.socket.Error().path == folder / "none" && std::string(end.socket.Error().syscall) == "connect");
  { CHECK(ListenUnix(folder / "dead", {}).Ok()); }
  Begin(folder / "dead", &ends, milliseconds(20));
  end = ends.AwaitOne();
  CHECK(NumberOf(end) == ETIMEDOUT && end.stage == WaitStage::kRefused && end.attempts > 1);
}

TEST(a_full_queue_is_tried_again) {
  const TemporaryFolder folder;
  auto listener = ListenUnix(folder / "s", {0600, 1});
  CHECK(listener.Ok());
  std::vector<UniqueFd> waiting;
  while (true) {
    auto client = ConnectUnix(folder / "s");
    if (!client.Ok()) {
      CHECK(client.Error().number == EAGAIN);
      break;
    }
    waiting.push_back(std::move(client.Value()));
  }
  Ends ends;
  Begin(folder / "s", &ends, milliseconds(10));
  const WaitEnd full = ends.AwaitOne();
  CHECK(NumberOf(full) == ETIMEDOUT && full.stage == WaitStage::kRefused);
  Begin(folder / "s", &ends);
  Settle();
  while (waiting.size() > 0) {
    CHECK(Accept(listener.Value().Get()));
    waiting.pop_back();
  }
  CHECK(ends.AwaitOne().socket.Ok());
}

TEST(the_end_of_the_process_ends_it) {
  const TemporaryFolder folder;
  Ends ends;
  SpawnedChild child = Start("exec sleep 1000");
  const WaitRequest request{folder / "none", child.identity, {}};
  CHECK(SocketWait::Begin(request, ends.Callback()).Ok());
  Settle();
  CHECK(SendSignal(child.pidfd.Get(), SIGKILL).Value());
  CHECK(NumberOf(ends.AwaitOne()) == ESRCH);
  // A zombie has ended, and so has what was reaped.
  CHECK(SocketWait::Begin(request, ends.Callback()).Ok());
  CHECK(NumberOf(ends.AwaitOne()) == ESRCH);
  KillAndReap(child.pidfd.Get());
  CHECK(SocketWait::Begin(request, ends.Callback()).Ok());
  CHECK(NumberOf(ends.AwaitOne()) == ESRCH);
}

TEST(links_and_other_files_are_refused) {
  const TemporaryFolder folder;
  const Server server(folder / "s", Hello);
  CHECK(symlink("s", (folder / "link").c_str()) == 0);
  WriteText(folder / "file", "");
  Ends ends;
  Begin(folder / "link", &ends);
  CHECK(NumberOf(ends.AwaitOne()) == ELOOP);
  Begin(folder / "file", &ends);
  CHECK(NumberOf(ends.AwaitOne()) == ENOTSOCK);
  Begin(folder / "file/s", &ends);
  CHECK(NumberOf(ends.AwaitOne()) == ENOTDIR);
  CHECK(ConnectUnix(folder / "link").Ok());
}

TEST(each_wait_ends_once_however_it_is_cancelled) {
  const TemporaryFolder folder;
  const Server server(folder / "s", Hello);
  Ends ends;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&folder, &ends, t] {
      for (int i = 0; i < 250; ++i) {
        const auto wait = Begin(folder / (i % 2 == 0 ? "s" : "none"), &ends, milliseconds(i % 5));
        if ((i + t) % 3 == 0) wait->Cancel();
        if (i % 4 == 0) wait->Cancel();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(ends.Await(1000).size() == 1000);
  Settle();
}

TEST(a_thousand_waits_leave_no_descriptor) {
  const TemporaryFolder folder;
  const Server server(folder / "s", Hello);
  const SpawnedChild child = Start("exec sleep 1000");
  Ends ends;
  Settle();
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 1000; ++i) {
    const WaitRequest request{folder / (i % 2 == 0 ? "s" : "x/y"), child.identity, {}};
    auto wait = SocketWait::Begin(request, ends.Callback());
    CHECK(wait.Ok());
    if (i % 4 != 0) wait.Value()->Cancel();
    const int number = NumberOf(ends.AwaitOne());
    CHECK(number == 0 || number == ECANCELED);
  }
  Settle();
  CHECK(OpenDescriptors() == before);
  KillAndReap(child.pidfd.Get());
}

RUN_TESTS()
