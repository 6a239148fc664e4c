#include "core/wait/vsock_wait.h"

#include "wait_fixture.h"

using namespace microvm::core;
using namespace microvm::test;
using std::chrono::milliseconds;

namespace {

std::shared_ptr<Wait> Begin(const std::string& path, Ends* ends, std::optional<milliseconds> limit = {}) {
  auto wait = VsockWait::Begin({path, {}, limit}, 52, ends->Callback());
  CHECK(wait.Ok());
  return wait.Value();
}

}  // namespace

TEST(asks_for_its_port_and_leaves_what_follows_the_answer) {
  const TemporaryFolder folder;
  std::atomic<bool> asked_rightly{false};
  const Server server(folder / "v", [&](UniqueFd connection) {
    asked_rightly = ReadSome(connection.Get()) == "CONNECT 52\n";
    Send(connection.Get(), "OK 1024\nfirst bytes");
  });
  Ends ends;
  Begin(folder / "v", &ends);
  WaitEnd end = ends.AwaitOne();
  CHECK(end.socket.Ok() && ReadSome(end.socket.Value().Get()) == "first bytes" && asked_rightly);
}

TEST(an_answer_may_come_in_pieces) {
  const TemporaryFolder folder;
  const Server server(folder / "v", [](UniqueFd connection) {
    for (const char byte : std::string_view("OK 77\nx")) {
      Send(connection.Get(), {&byte, 1});
      std::this_thread::yield();
    }
  });
  Ends ends;
  Begin(folder / "v", &ends);
  WaitEnd end = ends.AwaitOne();
  CHECK(end.socket.Ok() && ReadSome(end.socket.Value().Get()) == "x");
}

TEST(silence_is_overlapped_and_the_first_answer_counts) {
  const TemporaryFolder folder;
  std::vector<UniqueFd> silent;
  const Server server(folder / "v", [&](UniqueFd connection) {
    silent.push_back(std::move(connection));
    if (silent.size() < 3) return;
    // The second of three: an attempt that waits is not given up for a newer one.
    Send(silent[1].Get(), "OK 1\nsecond");
  });
  Ends ends;
  Begin(folder / "v", &ends);
  WaitEnd end = ends.AwaitOne();
  CHECK(end.socket.Ok() && ReadSome(end.socket.Value().Get()) == "second" && end.attempts == 3);
}

TEST(each_case_has_its_stage) {
  const TemporaryFolder folder;
  std::atomic<int> asked{0};
  std::vector<UniqueFd> held;
  const Server silent(folder / "silent", [&](UniqueFd connection) {
    held.push_back(std::move(connection));
    ++asked;
  });
  const Server closing(folder / "closing", [&](UniqueFd connection) {
    ReadSome(connection.Get());
    ++asked;
  });
  const Server cutting(folder / "cutting", [&](UniqueFd connection) {
    Send(connection.Get(), "OK 1");
    ++asked;
  });
  const struct {
    const char* name;
    WaitStage stage;
  } cases[] = {
      {"silent", WaitStage::kNoAnswer}, {"closing", WaitStage::kClosed}, {"cutting", WaitStage::kClosed}};
  for (const auto& expected : cases) {
    Ends ends;
    asked = 0;
    const auto wait = Begin(folder / expected.name, &ends);
    // Asked for a third time: what became of the first is known.
    while (asked < 3) std::this_thread::yield();
    wait->Cancel();
    const WaitEnd end = ends.AwaitOne();
    CHECK(NumberOf(end) == ECANCELED && end.stage == expected.stage && end.attempts >= 3);
  }
}

TEST(the_limit_tells_what_was_missing) {
  const TemporaryFolder folder;
  auto silent = ListenUnix(folder / "v", {});
  Ends ends;
  Begin(folder / "none", &ends, milliseconds(20));
  WaitEnd end = ends.AwaitOne();
  CHECK(NumberOf(end) == ETIMEDOUT && end.stage == WaitStage::kNoSocket);
  Begin(folder / "v", &ends, milliseconds(20));
  end = ends.AwaitOne();
  CHECK(NumberOf(end) == ETIMEDOUT && end.stage == WaitStage::kNoAnswer);
  CHECK(end.socket.Error().detail == "accepted, but no answer");
}

TEST(a_foreign_answer_ends_it) {
  const TemporaryFolder folder;
  const Server foreign(folder / "v", [](UniqueFd connection) { Send(connection.Get(), "HTTP/1.1"); });
  Ends ends;
  Begin(folder / "v", &ends);
  const WaitEnd end = ends.AwaitOne();
  CHECK(NumberOf(end) == EPROTO && end.stage == WaitStage::kNoAnswer);
}

TEST(a_greeting_counts_also_when_its_server_is_quicker_than_the_question) {
  const TemporaryFolder folder;
  const Server foreign(folder / "v",
                       [](UniqueFd connection) { Send(connection.Get(), "220 mail ready\r\n"); });
  for (int i = 0; i < 300; ++i) {
    Ends ends;
    Begin(folder / "v", &ends);
    const WaitEnd end = ends.AwaitOne();
    CHECK(NumberOf(end) == EPROTO && end.stage == WaitStage::kNoAnswer);
  }
}

TEST(a_full_queue_does_not_give_up_the_attempt_in_it) {
  const TemporaryFolder folder;
  auto listener = ListenUnix(folder / "v", {0600, 1});
  CHECK(listener.Ok());
  Ends ends;
  Ends clock;
  Begin(folder / "v", &ends);
  Begin(folder / "none", &clock, milliseconds(1));
  clock.AwaitOne();
  // Two fit: with ours it is full, and the attempt after 100 ms finds no room.
  CHECK(ConnectUnix(folder / "v").Ok());
  Begin(folder / "none", &clock, milliseconds(150));
  clock.AwaitOne();
  const UniqueFd oldest = Accept(listener.Value().Get());
  CHECK(ReadSome(oldest.Get()) == "CONNECT 52\n");
  Send(oldest.Get(), "OK 1\n");
  const WaitEnd end = ends.AwaitOne();
  CHECK(end.socket.Ok() && end.stage == WaitStage::kNoAnswer && end.attempts >= 2);
}

TEST(a_thousand_waits_in_every_case_leave_no_descriptor) {
  const TemporaryFolder folder;
  std::vector<UniqueFd> held;
  const Server silent(folder / "v0", [&](UniqueFd connection) {
    held.push_back(std::move(connection));
    if (held.size() > 8) held.erase(held.begin());
  });
  const Server closing(folder / "v1", [](UniqueFd) {});
  const Server answering(folder / "v2", [](UniqueFd connection) { Send(connection.Get(), "OK 1\n"); });
  Ends ends;
  Begin(folder / "v3", &ends)->Cancel();
  ends.AwaitOne();
  const size_t before = OpenDescriptors();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&folder, t] {
      Ends own;
      for (int i = 0; i < 250; ++i) {
        const auto wait = Begin(folder / ("v" + std::to_string((i + t) % 4)), &own, milliseconds(i % 3));
        if (i % 5 == 0) wait->Cancel();
        const int number = NumberOf(own.AwaitOne());
        CHECK(number == 0 || number == ETIMEDOUT || number == ECANCELED);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Begin(folder / "v3", &ends)->Cancel();
  ends.AwaitOne();
  // What the servers hold is theirs.
  CHECK(OpenDescriptors() <= before + 9 + 3);
}

RUN_TESTS()
