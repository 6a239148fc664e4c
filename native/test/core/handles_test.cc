#include "core/handles.h"

#include "check.h"

namespace {

using microvm::UniqueFd;
using microvm::core::Mmap;
using microvm::core::ScopeExit;

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

}  // namespace

TEST(closes_when_it_goes) {
  int number = -1;
  {
    const UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = fd.Get();
    CHECK(IsOpen(number));
  }
  CHECK(!IsOpen(number));
}

TEST(a_move_leaves_one_owner) {
  UniqueFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = first.Get();
  UniqueFd second(std::move(first));
  CHECK(!first);
  CHECK(second.Get() == number);
  UniqueFd third(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int replaced = third.Get();
  third = std::move(second);
  CHECK(!IsOpen(replaced));
  CHECK(third.Get() == number && IsOpen(number));
}

TEST(release_hands_over_without_closing) {
  UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = fd.Release();
  CHECK(!fd);
  CHECK(IsOpen(number));
  CHECK(close(number) == 0);
}

TEST(closing_keeps_errno) {
  UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  close(fd.Get());
  errno = ENOSPC;
  fd.Reset();
  CHECK(errno == ENOSPC);
}

TEST(a_mapping_is_zeroed_and_moves) {
  Mmap memory = Mmap::Anonymous(8192);
  CHECK(memory && memory.Bytes()[8191] == 0);
  memory.Bytes()[0] = 7;
  const Mmap moved(std::move(memory));
  CHECK(!memory);
  CHECK(moved.Length() == 8192 && moved.Bytes()[0] == 7);
}

TEST(a_scope_exit_runs_unless_dismissed) {
  int runs = 0;
  {
    const ScopeExit first([&] { ++runs; });
    ScopeExit second([&] { runs += 10; });
    second.Dismiss();
  }
  CHECK(runs == 1);
}

RUN_TESTS()
