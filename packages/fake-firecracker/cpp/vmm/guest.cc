#include "vmm/guest.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace microvm::fake {

Guest::Guest(Loop* loop, Shell shell, Events events)
    : loop_(loop),
      control_(std::move(shell.control)),
      console_(std::move(shell.console)),
      agent_address_(std::move(shell.agent_address)),
      events_(std::move(events)) {
  fcntl(console_.Get(), F_SETFL, O_NONBLOCK);
  loop_->Add(control_.Get(), EPOLLIN, [this](uint32_t) { OnControl(); });
  loop_->Add(console_.Get(), EPOLLIN, [this](uint32_t) { DrainConsole(); });
}

int Guest::Boot(const BootMessage& boot, int archive_fd) {
  return Send(control_.Get(), Signal::kBoot, BytesOf(boot), archive_fd);
}

LifeMessage Guest::Pause() {
  heard_pause_ = false;
  if (!ended_) Send(control_.Get(), Signal::kPause);
  while (!heard_pause_ && !ended_) OnControl();
  return life_;
}

void Guest::Resume() {
  heard_resume_ = false;
  if (!ended_) Send(control_.Get(), Signal::kResume);
  while (!heard_resume_ && !ended_) OnControl();
}

void Guest::OnControl() {
  Signal signal;
  std::string body;
  UniqueFd fd;
  if (Receive(control_.Get(), &signal, &body, &fd)) {
    Handle(signal, body, std::move(fd));
    return;
  }
  // The line is cut a moment before the end of the process can be seen, which says how it ended.
  loop_->Remove(control_.Get());
  control_.Reset();
  int status = 0;
  while (!ended_ && waitpid(-1, &status, 0) > 0) OnChildEnd(status);
  if (!ended_) Ended(End::kReset, "");
}

void Guest::Handle(Signal signal, const std::string& body, UniqueFd fd) {
  switch (signal) {
    case Signal::kUp:
      root_ = std::move(fd);
      events_.up();
      break;
    case Signal::kPaused:
      if (body.size() == sizeof(life_)) memcpy(&life_, body.data(), sizeof(life_));
      heard_pause_ = true;
      break;
    case Signal::kResumed:
      heard_resume_ = true;
      break;
    case Signal::kPanic:
      Ended(End::kPanic, body);
      break;
    case Signal::kBoot:
    case Signal::kPause:
    case Signal::kResume:
    case Signal::kCtrlAltDel:
      break;
  }
}

// The kernel ends a pid namespace whose process 1 calls reboot(2) by SIGHUP or SIGINT: pid_namespaces(7).
void Guest::OnChildEnd(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !WIFSIGNALED(status))
    return;  // the helper of SpawnShell
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP) return Ended(End::kReset, "");
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) return Ended(End::kPowerOff, "");
  char reason[64];
  snprintf(reason, sizeof(reason), "Attempted to kill init! exitcode=0x%08x", static_cast<unsigned>(status));
  Ended(End::kPanic, reason);
}

void Guest::Ended(End end, const std::string& reason) {
  if (ended_) return;
  ended_ = true;
  DrainConsole();
  events_.end(end, reason);
}

UniqueFd Guest::ConnectAgent() {
  if (!is_up()) return UniqueFd();
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, agent_address_.data(), std::min(agent_address_.size(), sizeof(address.sun_path)));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + agent_address_.size());
  // SAFETY: the socket calls' own idea of a base type.
  if (connect(fd.Get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return UniqueFd();
  return fd;
}

void Guest::DrainConsole() {
  char text[4096];
  for (;;) {
    const ssize_t got = read(console_.Get(), text, sizeof(text));
    if (got > 0) {
      events_.console({text, static_cast<size_t>(got)});
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) loop_->Remove(console_.Get());
    return;
  }
}

}  // namespace microvm::fake
