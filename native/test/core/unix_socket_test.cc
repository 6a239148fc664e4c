#include "core/unix_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <thread>

#include "check.h"

using namespace microvm::core;
using microvm::test::TemporaryFolder;

namespace {

struct Received {
  std::string data;
  std::vector<UniqueFd> fds;
};

Received Receive(int socket) {
  char data[4096];
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
  iovec part{data, sizeof data};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  Received received;
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got > 0) received.data.assign(data, static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  return received;
}

struct Pair {
  UniqueFd a;
  UniqueFd b;
};

Pair MakePair(int extra_flags) {
  int fds[2] = {-1, -1};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | extra_flags, 0, fds) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace

TEST(makes_two_ends_without_a_path) {
  auto made = MakeSocketPair();
  CHECK(made.Ok());
  const int first = made.Value().first.Get();
  const int second = made.Value().second.Get();
  CHECK(send(first, "x", 1, 0) == 1);
  char byte = 0;
  CHECK(recv(second, &byte, 1, 0) == 1 && byte == 'x');
  CHECK(recv(first, &byte, 1, 0) == -1 && errno == EAGAIN);
  CHECK((fcntl(first, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(second, F_GETFD) & FD_CLOEXEC) != 0);
}

TEST(connects_at_paths_of_any_length) {
  const TemporaryFolder folder;
  for (const size_t length : {1, 60, 150, 250}) {
    const std::string sub = folder / std::string(length, 'd');
    mkdir(sub.c_str(), 0700);
    const std::string path = sub + "/socket";
    auto listener = ListenUnix(path, {});
    CHECK(listener.Ok());
    CHECK(microvm::test::Exists(path));
    auto client = ConnectUnix(path);
    CHECK(client.Ok());
    const UniqueFd server(accept4(listener.Value().Get(), nullptr, nullptr, SOCK_CLOEXEC));
    CHECK(server);
    CHECK(send(client.Value().Get(), "x", 1, 0) == 1);
    char byte = 0;
    CHECK(recv(server.Get(), &byte, 1, 0) == 1 && byte == 'x');
    CHECK((fcntl(client.Value().Get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(listener.Value().Get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST(two_long_paths_do_not_meet) {
  const TemporaryFolder folder;
  const std::string sub = folder / std::string(120, 'd');
  mkdir(sub.c_str(), 0700);
  auto first = ListenUnix(sub + "/one", {});
  auto second = ListenUnix(sub + "/two", {});
  CHECK(first.Ok() && second.Ok());
  CHECK(ConnectUnix(sub + "/one").Ok());
  pollfd entry{second.Value().Get(), POLLIN, 0};
  CHECK(poll(&entry, 1, 0) == 0);
}

TEST(the_socket_file_has_the_mode_asked_for) {
  const TemporaryFolder folder;
  const mode_t before = umask(0077);
  for (const unsigned mode : {0600u, 0666u, 0777u}) {
    const std::string path = folder / std::to_string(mode);
    CHECK(ListenUnix(path, {mode}).Ok());
    struct stat status {};
    CHECK(stat(path.c_str(), &status) == 0 && (status.st_mode & 0777) == mode);
  }
  umask(before);
}

TEST(errors_name_step_and_path) {
  const TemporaryFolder folder;
  auto missing = ConnectUnix(folder / "none");
  CHECK(!missing.Ok() && missing.Error().number == ENOENT && missing.Error().path == folder / "none");
  auto far_missing = ConnectUnix(folder / (std::string(150, 'd') + "/none"));
  CHECK(!far_missing.Ok() && far_missing.Error().number == ENOENT);
  microvm::test::WriteText(folder / "file", "");
  auto taken = ListenUnix(folder / "file", {});
  CHECK(!taken.Ok() && taken.Error().number == EADDRINUSE && std::string(taken.Error().syscall) == "bind");
  { CHECK(ListenUnix(folder / "dead", {}).Ok()); }
  auto refused = ConnectUnix(folder / "dead");
  CHECK(!refused.Ok() && refused.Error().number == ECONNREFUSED);
}

TEST(descriptors_arrive_with_their_data) {
  const TemporaryFolder folder;
  const Pair pair = MakePair(SOCK_NONBLOCK);
  auto file = OpenFile(folder / "f", O_RDWR | O_CREAT, 0600);
  auto other = OpenFile("/dev/null", O_RDWR);
  CHECK(SendDescriptors(pair.a.Get(), "hello", {file.Value().Get(), other.Value().Get()}).Ok());
  const Received received = Receive(pair.b.Get());
  CHECK(received.data == "hello" && received.fds.size() == 2);
  CHECK(write(received.fds[0].Get(), "through", 7) == 7);
  CHECK(microvm::test::ReadText(folder / "f") == "through");
}

TEST(long_data_is_sent_in_full_and_the_descriptor_once) {
  const Pair pair = MakePair(SOCK_NONBLOCK);
  auto other = OpenFile("/dev/null", O_RDWR);
  const std::string data(3 << 20, 'z');
  size_t received_bytes = 0;
  size_t received_fds = 0;
  std::thread reader([&] {
    const UniqueFd blocking(fcntl(pair.b.Get(), F_DUPFD_CLOEXEC, 3));
    fcntl(blocking.Get(), F_SETFL, 0);
    while (received_bytes < data.size()) {
      const Received part = Receive(blocking.Get());
      if (part.data.empty()) return;
      received_bytes += part.data.size();
      received_fds += part.fds.size();
    }
  });
  CHECK(SendDescriptors(pair.a.Get(), data, {other.Value().Get()}).Ok());
  reader.join();
  CHECK(received_bytes == data.size() && received_fds == 1);
}

TEST(a_peer_that_does_not_read_is_a_timeout_not_a_hang) {
  const Pair pair = MakePair(0);
  auto other = OpenFile("/dev/null", O_RDWR);
  auto sent = SendDescriptors(pair.a.Get(), std::string(8 << 20, 'z'), {other.Value().Get()});
  CHECK(!sent.Ok() && sent.Error().number == ETIMEDOUT);
}

TEST(a_closed_peer_is_epipe_without_a_signal) {
  Pair pair = MakePair(0);
  pair.b.Reset();
  auto sent = SendDescriptors(pair.a.Get(), "x", {0});
  CHECK(!sent.Ok() && sent.Error().number == EPIPE);
}

RUN_TESTS()
