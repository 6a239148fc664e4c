#include "command.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "clock.h"
#include "process_signal.h"

namespace microvm::agent {
namespace {

// How long a grandchild that holds an output open can delay the report of the command's end.
constexpr uint64_t kBackgroundGraceMs = 250;

}  // namespace

Command::Command(uint32_t stream, Child child, uint32_t output_window, Outbox* outbox)
    : StreamHandler(stream, output_window, outbox),
      pid_(child.pid),
      status_(std::move(child.status)),
      has_terminal_(child.has_terminal) {
  stream_.TakeInput(std::move(child.in),
                    has_terminal_ ? Stream::InputEnd::kTerminal : Stream::InputEnd::kClose);
  stream_.TakeOutput(1, std::move(child.out));
  if (child.err) stream_.TakeOutput(2, std::move(child.err));
}

int Command::fd(uint8_t part) const { return part == kStatusPart ? status_.Get() : stream_.fd(part); }

void Command::OnReady(uint8_t part, uint32_t events) {
  if (part == kStatusPart) {
    ReadStatus();
  } else {
    stream_.OnReady(part, events);
  }
}

void Command::ReadStatus() {
  if (!status_) return;
  SpawnFailure failure{};
  const ssize_t got = read(status_.Get(), &failure, sizeof(failure));
  if (got < 0 && errno == EAGAIN) return;
  status_.Reset();
  if (got == static_cast<ssize_t>(sizeof(failure))) {
    stream_.Fail(failure.error, SpawnStepName(failure.step));
    return;
  }
  PayloadWriter payload;
  stream_.Open(payload.U32(static_cast<uint32_t>(pid_)).bytes());
}

void Command::OnReaped(int wait_status) {
  ReadStatus();
  reaped_ = true;
  wait_status_ = wait_status;
  stream_.CloseInput();
  stream_.OweOutput();
}

int Command::Signal(int number) {
  if (number == SIGKILL) {
    // The group is told as well: a child that was only just forked has not joined the cgroup yet.
    const bool all_killed = cgroup_.Kill();
    const int error = SignalGroupOf(number);
    return all_killed ? 0 : error;
  }
  // Not both: who handles the signal would handle it twice.
  return cgroup_.SignalEach(number) ? 0 : SignalGroupOf(number);
}

int Command::SignalGroupOf(int number) const {
  // Reaped, its number can belong to a stranger, but not as long as a member of its group is left: the kernel
  // gives a number out again only when it names neither a process nor a group.
  if (reaped_ && kill(pid_, 0) == 0) return ESRCH;
  const int error = SignalGroup(pid_, number);
  // A child that was only just forked has not made its group yet.
  if (error == ESRCH && !reaped_) return SignalProcess(pid_, number);
  return error;
}

void Command::Cancel() {
  cancelled_ = true;
  stream_.ThrowOutputAway();
  Signal(SIGKILL);
}

bool Command::Resize(uint16_t columns, uint16_t rows) {
  if (!has_terminal_) return false;
  winsize size{};
  size.ws_col = columns;
  size.ws_row = rows;
  // The kernel tells the terminal's foreground group by SIGWINCH. A terminal that is gone has no size.
  ioctl(stream_.fd(1), TIOCSWINSZ, &size);
  return true;
}

bool Command::Pump() {
  const bool more = stream_.Pump();
  MaybeEnd();
  return more;
}

void Command::MaybeEnd() {
  if (!stream_.attached() || !reaped_ || !stream_.opened()) return;
  if (stream_.HasOutput() && !cancelled_) {
    if (stream_.OwesOutput()) return;
    if (deadline_ == kNoDeadline) deadline_ = NowMs() + kBackgroundGraceMs;
    if (NowMs() < deadline_) return;
  }
  PayloadWriter payload;
  if (WIFSIGNALED(wait_status_)) {
    payload.U8(1).U8(static_cast<uint8_t>(WTERMSIG(wait_status_)));
  } else {
    payload.U8(0).U8(static_cast<uint8_t>(WEXITSTATUS(wait_status_)));
  }
  stream_.Finish(payload.bytes());
}

}  // namespace microvm::agent
