#include "core/lent_fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "core/handles.h"

using namespace microvm::core;
using namespace microvm::test;

namespace {

int NewSocket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

}  // namespace

TEST(closes_what_nobody_has_closed) {
  const int fd = NewSocket();
  LentFd(fd).CloseIfSame();
  CHECK(!IsOpen(fd));
}

TEST(leaves_the_next_one_with_the_same_number_alone) {
  const int fd = NewSocket();
  const LentFd lent(fd);
  close(fd);
  const UniqueFd next(NewSocket());
  CHECK(next.Get() == fd);
  lent.CloseIfSame();
  CHECK(IsOpen(fd));
}

TEST(leaves_a_file_with_the_same_number_alone) {
  const int fd = NewSocket();
  const LentFd lent(fd);
  close(fd);
  const UniqueFd next(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK(next.Get() == fd);
  lent.CloseIfSame();
  CHECK(IsOpen(fd));
}

TEST(does_nothing_twice) {
  const int fd = NewSocket();
  const LentFd lent(fd);
  lent.CloseIfSame();
  lent.CloseIfSame();
  const UniqueFd next(NewSocket());
  lent.CloseIfSame();
  CHECK(IsOpen(next.Get()));
}

TEST(does_nothing_about_what_was_never_open) {
  const int fd = NewSocket();
  close(fd);
  const LentFd lent(fd);
  const UniqueFd next(NewSocket());
  lent.CloseIfSame();
  CHECK(IsOpen(next.Get()));
}

TEST(closes_what_is_owned_once) {
  const int fd = NewSocket();
  CHECK(CloseOwned(fd).Ok());
  CHECK(!IsOpen(fd));
  const auto again = CloseOwned(fd);
  CHECK(!again.Ok() && again.Error().number == EBADF);
  CHECK(std::string(again.Error().syscall) == "close");
}

RUN_TESTS()
