#include "core/root_directory.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <memory>

#include "check.h"
#include "core/job_queue.h"
#include "refuse_syscall.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

// A root with one of everything, and something to be found outside of it.
class Fixture {
 public:
  Fixture() {
    mkdir((folder_ / "root").c_str(), 0700);
    mkdir((folder_ / "root/d").c_str(), 0700);
    WriteText(folder_ / "outside", "secret");
    WriteText(folder_ / "root/d/f", "inside");
    CHECK(symlink("d", (folder_ / "root/to-d").c_str()) == 0);
    CHECK(symlink("d/f", (folder_ / "root/to-f").c_str()) == 0);
    CHECK(symlink("../outside", (folder_ / "root/out").c_str()) == 0);
    CHECK(symlink(folder_.Path().c_str(), (folder_ / "root/up").c_str()) == 0);
    CHECK(mkfifo((folder_ / "root/fifo").c_str(), 0600) == 0);
    root_ = std::make_unique<RootDirectory>(std::move(RootDirectory::Open(folder_ / "root").Value()));
  }
  const RootDirectory& Root() const { return *root_; }
  std::string operator/(const std::string& name) const { return folder_ / name; }

  int Number(const std::string& name, int flags = O_RDONLY) const {
    auto opened = root_->OpenFileOrSocket(name, flags, 0600);
    return opened.Ok() ? 0 : opened.Error().number;
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<RootDirectory> root_;
};

std::string TextOf(int fd) {
  char text[32] = {};
  const ssize_t got = pread(fd, text, sizeof text, 0);
  return std::string(text, got > 0 ? static_cast<size_t>(got) : 0);
}

}  // namespace

TEST(names_that_stay_beneath) {
  for (const char* name : {"a", "a/b", "...", ".a", "a..", "a b", "a/..b"}) CHECK(IsBeneathName(name));
  for (const char* name :
       {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", "./a"}) {
    CHECK(!IsBeneathName(name));
  }
  CHECK(!IsBeneathName(std::string("a\0b", 3)));
  CHECK(IsBeneathName(std::string(255, 'a')) && !IsBeneathName(std::string(256, 'a')));
}

TEST(opens_files_and_refuses_all_else) {
  const Fixture fixture;
  auto file = fixture.Root().OpenFileOrSocket("d/f", O_RDWR, 0);
  CHECK(file.Ok() && TextOf(file.Value().Get()) == "inside");
  CHECK((fcntl(file.Value().Get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(fixture.Number("none") == ENOENT);
  CHECK(fixture.Number("d") == EISDIR);
  CHECK(fixture.Number("fifo") == EINVAL);
  CHECK(fixture.Number("fifo", O_WRONLY) == EINVAL);
  CHECK(fixture.Number("d/f/g") == ENOTDIR);
  for (const char* name : {"to-f", "out"}) CHECK(fixture.Number(name) == ELOOP);
  for (const char* name : {"to-d/f", "up/outside"}) {
    const int number = fixture.Number(name);
    CHECK(number == ELOOP || number == ENOTDIR);
  }
  CHECK(fixture.Number("../outside") == EINVAL && fixture.Number(fixture / "outside") == EINVAL);
}

TEST(makes_a_file_when_asked_but_never_through_a_link) {
  const Fixture fixture;
  CHECK(fixture.Number("new", O_WRONLY | O_CREAT) == 0 && Exists(fixture / "root/new"));
  CHECK(fixture.Number("new", O_WRONLY | O_CREAT | O_EXCL) == EEXIST);
  CHECK(fixture.Number("d/f", O_WRONLY | O_CREAT | O_TRUNC) == 0 && ReadText(fixture / "root/d/f").empty());
  CHECK(symlink("../made", (fixture / "root/dangling").c_str()) == 0);
  CHECK(fixture.Number("dangling", O_WRONLY | O_CREAT) == ELOOP);
  CHECK(fixture.Number("out", O_WRONLY | O_CREAT | O_TRUNC) == ELOOP);
  CHECK(!Exists(fixture / "made") && ReadText(fixture / "outside") == "secret");
}

TEST(a_socket_gives_a_handle_to_connect_to) {
  const Fixture fixture;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fixture / "root/s";
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(bind(listener.Get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(listen(listener.Get(), 1) == 0);
  auto handle = fixture.Root().OpenFileOrSocket("s", O_RDWR, 0);
  CHECK(handle.Ok());
  const std::string self = "/proc/self/fd/" + std::to_string(handle.Value().Get());
  memcpy(address.sun_path, self.c_str(), self.size() + 1);
  const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(connect(client.Get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

TEST(a_root_that_is_a_link_or_a_file_is_none) {
  const Fixture fixture;
  CHECK(!RootDirectory::Open(fixture / "root/to-d").Ok());
  CHECK(!RootDirectory::Open(fixture / "outside").Ok());
  CHECK(RootDirectory::Open(fixture / "none").Error().number == ENOENT);
}

// Somebody swaps a folder for a link to the outside and back all the time; what is opened is inside even so.
TEST(a_swapped_folder_leads_nowhere) {
  const Fixture fixture;
  mkdir((fixture / "trap").c_str(), 0700);
  WriteText(fixture / "trap/f", "secret");
  CHECK(symlink((fixture / "trap").c_str(), (fixture / "root/e").c_str()) == 0);
  std::atomic<bool> is_over{false};
  size_t opened = 0;
  std::atomic<int> turn{0};
  JobQueue::ForData().RunTogether("test", 2, [&] {
    if (turn.fetch_add(1) == 0) {
      const std::string d = fixture / "root/d";
      const std::string e = fixture / "root/e";
      while (!is_over) CHECK(renameat2(AT_FDCWD, d.c_str(), AT_FDCWD, e.c_str(), RENAME_EXCHANGE) == 0);
      return;
    }
    for (int i = 0; i < 5000; ++i) {
      auto file = fixture.Root().OpenFileOrSocket("d/f", O_RDONLY, 0);
      if (!file.Ok()) continue;
      ++opened;
      CHECK(TextOf(file.Value().Get()) == "inside");
    }
    is_over = true;
  });
  CHECK(opened > 0);
}

// Last: the filter stays.
TEST(the_same_where_openat2_is_refused) {
  CHECK(microvm::test::RefuseSyscall(437));
  opens_files_and_refuses_all_else();
  makes_a_file_when_asked_but_never_through_a_link();
  a_socket_gives_a_handle_to_connect_to();
  a_swapped_folder_leads_nowhere();
}

RUN_TESTS()
