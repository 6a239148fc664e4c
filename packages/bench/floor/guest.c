// The floor under a guest's agent: the least that can stand at the other end of the same kind of stream.
//
//   floor-guest exec SOCKET PROGRAM   for each byte that comes, starts the program; for each that has ended,
//                                     answers a byte. One connection.
//   floor-guest relay SOCKET TARGET   carries a connection to SOCKET on to TARGET, both ways. One at a time.
//   floor-guest echo SOCKET           sends back what comes, any number of connections.
//
// It prints a line when it listens, and ends with its parent.

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static char buffer[65536];

static void must(long result, const char* what) {
  if (result >= 0) return;
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static struct sockaddr_un address_of(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

static int listen_at(const char* path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct sockaddr_un address = address_of(path);
  must(bind(fd, (const struct sockaddr*)&address, sizeof address), "bind");
  must(listen(fd, 64), "listen");
  puts("listening");
  fflush(stdout);
  return fd;
}

static void write_all(int fd, const char* data, ssize_t size) {
  while (size > 0) {
    const ssize_t wrote = write(fd, data, size);
    must(wrote, "write");
    data += wrote;
    size -= wrote;
  }
}

// False: there is nothing more to come.
static int carry(int from, int to) {
  const ssize_t size = read(from, buffer, sizeof buffer);
  if (size <= 0) return 0;
  write_all(to, buffer, size);
  return 1;
}

static void exec_all(int connection, const char* program) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  struct pollfd fds[] = {{connection, POLLIN, 0}, {signalfd(-1, &set, SFD_CLOEXEC), POLLIN, 0}};
  char* const argv[] = {(char*)program, NULL};
  for (;;) {
    must(poll(fds, 2, -1), "poll");
    if (fds[0].revents != 0) {
      const ssize_t size = read(connection, buffer, sizeof buffer);
      if (size <= 0) return;
      pid_t pid;
      for (ssize_t i = 0; i < size; i++) {
        errno = posix_spawn(&pid, program, NULL, NULL, argv, environ);
        if (errno != 0) must(-1, program);
      }
    }
    if (fds[1].revents != 0) {
      struct signalfd_siginfo info;
      must(read(fds[1].fd, &info, sizeof info), "signalfd");
      while (waitpid(-1, NULL, WNOHANG) > 0) write_all(connection, "x", 1);
    }
  }
}

static void relay(int connection, const char* target) {
  const int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct sockaddr_un address = address_of(target);
  must(connect(other, (const struct sockaddr*)&address, sizeof address), target);
  struct pollfd fds[] = {{connection, POLLIN, 0}, {other, POLLIN, 0}};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    must(poll(fds, 2, -1), "poll");
    for (int i = 0; i < 2; i++) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      const int to = i == 0 ? other : connection;
      if (carry(fds[i].fd, to)) continue;
      shutdown(to, SHUT_WR);
      fds[i].fd = -1;
    }
  }
  close(other);
}

static void echo_all(int listener) {
  struct pollfd fds[64] = {{listener, POLLIN, 0}};
  int count = 1;
  for (;;) {
    must(poll(fds, count, -1), "poll");
    for (int i = count - 1; i > 0; i--) {
      if (fds[i].revents == 0 || carry(fds[i].fd, fds[i].fd)) continue;
      close(fds[i].fd);
      fds[i] = fds[--count];
    }
    if (fds[0].revents == 0 || count == 64) continue;
    const int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(connection, "accept");
    fds[count++] = (struct pollfd){connection, POLLIN, 0};
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
  signal(SIGPIPE, SIG_IGN);
  const int listener = listen_at(argv[2]);
  if (strcmp(argv[1], "echo") == 0) echo_all(listener);
  for (;;) {
    const int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(connection, "accept");
    if (strcmp(argv[1], "exec") == 0) exec_all(connection, argv[3]);
    if (strcmp(argv[1], "relay") == 0) relay(connection, argv[3]);
    close(connection);
  }
}
