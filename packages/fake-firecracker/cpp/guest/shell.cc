#include "guest/shell.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

#include "guest/machine.h"

namespace microvm::fake {
namespace {

constexpr const char* kTitle = "fake-guest";

char* arguments = nullptr;
size_t arguments_size = 0;

// A search for the VMM by its arguments must not find the guest.
void Rename() {
  prctl(PR_SET_NAME, kTitle);
  if (arguments == nullptr) return;
  memset(arguments, 0, arguments_size);
  strncpy(arguments, kTitle, arguments_size - 1);
}

int MakeListener(UniqueFd* listener, std::string* address) {
  *listener = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  socklen_t size = sizeof(sa_family_t);  // no name at all: the kernel chooses one
  // SAFETY: the socket calls' own idea of a base type, here and below.
  auto* base = reinterpret_cast<sockaddr*>(&name);
  if (!*listener || bind(listener->Get(), base, size) != 0 || listen(listener->Get(), 64) != 0) return errno;
  size = sizeof(name);
  if (getsockname(listener->Get(), base, &size) != 0) return errno;
  address->assign(name.sun_path, size - offsetof(sockaddr_un, sun_path));
  return 0;
}

struct GuestEnds {
  UniqueFd control;
  UniqueFd console;
  UniqueFd listener;
};

[[noreturn]] void Stem(const ShellOptions& options, const GuestEnds& ends) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number <= SIGRTMAX; number++) signal(number, SIG_DFL);
  if (options.mount_namespace >= 0 && setns(options.mount_namespace, CLONE_NEWNS) != 0) _exit(1);
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (uid == 0) {
    uid = options.uid;
    gid = options.gid;
    if (setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
      _exit(1);
  }
  // A change of ids makes /proc/self root's, where the maps of the user namespace are written.
  prctl(PR_SET_DUMPABLE, 1);
  clone_args how{};
  how.flags =
      CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_PARENT;
  const long pid = syscall(SYS_clone3, &how, sizeof(how));
  if (pid != 0) _exit(pid < 0 ? 1 : 0);
  Rename();
  RunMachine({uid, gid, ends.control.Get(), ends.console.Get(), ends.listener.Get()});
}

}  // namespace

void RememberArguments(int argc, char** argv) {
  arguments = argv[0];
  arguments_size = static_cast<size_t>(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]) + 1;
}

int SpawnShell(const ShellOptions& options, Shell* shell) {
  int sockets[2];
  int pipe[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) return errno;
  shell->control = UniqueFd(sockets[0]);
  GuestEnds ends;
  ends.control = UniqueFd(sockets[1]);
  if (pipe2(pipe, O_CLOEXEC) != 0) return errno;
  shell->console = UniqueFd(pipe[0]);
  ends.console = UniqueFd(pipe[1]);
  if (const int error = MakeListener(&ends.listener, &shell->agent_address); error != 0) return error;
  const pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    shell->control.Reset();
    shell->console.Reset();
    Stem(options, ends);
  }
  return 0;
}

std::string HandOver(Shell shell) {
  std::string text;
  for (UniqueFd* fd : {&shell.control, &shell.console}) {
    const int copy = dup(fd->Get());  // without the flag that closes it at exec
    text += std::to_string(copy) + ",";
  }
  char digits[3];
  for (const char byte : shell.agent_address) {
    snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

bool TakeOver(const std::string& text, Shell* shell) {
  int control = -1;
  int console = -1;
  char address[256] = "";
  if (sscanf(text.c_str(), "%d,%d,%200s", &control, &console, address) != 3) return false;
  for (const int fd : {control, console}) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return false;
  }
  shell->control = UniqueFd(control);
  shell->console = UniqueFd(console);
  for (const char* pair = address; pair[0] != '\0' && pair[1] != '\0'; pair += 2) {
    unsigned byte = 0;
    if (sscanf(pair, "%2x", &byte) != 1) return false;
    shell->agent_address += static_cast<char>(byte);
  }
  return true;
}

}  // namespace microvm::fake
