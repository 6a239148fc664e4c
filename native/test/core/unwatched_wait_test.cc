#include "core/wait/socket_wait.h"
#include "refuse_syscall.h"
#include "wait_fixture.h"

using namespace microvm::core;
using namespace microvm::test;

// In a program of its own: the loop's thread must be born without the call.
TEST(without_inotify_a_socket_is_looked_for_again_and_again) {
  const TemporaryFolder folder;
  CHECK(RefuseSyscall(SYS_inotify_init1));
  Ends ends;
  CHECK(SocketWait::Begin({folder / "a/s", {}, {}}, ends.Callback()).Ok());
  CHECK(SocketWait::Begin({folder / "none", {}, std::chrono::milliseconds(20)}, ends.Callback()).Ok());
  const WaitEnd late = ends.AwaitOne();
  CHECK(NumberOf(late) == ETIMEDOUT && late.stage == WaitStage::kNoSocket);
  CHECK(mkdir((folder / "a").c_str(), 0700) == 0);
  const Server server(folder / "a/s", [](UniqueFd) {});
  CHECK(ends.AwaitOne().socket.Ok());
}

RUN_TESTS()
