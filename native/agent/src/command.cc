#include "command.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "process_signal.h"

namespace microvm::agent {
namespace {

// How long a grandchild that holds an output open can delay the report of the command's end.
constexpr uint64_t kBackgroundGraceMs = 250;
// With its header one write to a virtio-serial port, which takes 32 KiB at a time.
constexpr size_t kChunk = 32 * 1024 - kHeaderSize;

bool AtEnd(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, 0) == 1 && (entry.revents & (POLLIN | POLLHUP)) == POLLHUP;
}

size_t BytesIn(int fd) {
  int bytes = 0;
  return fd >= 0 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

}  // namespace

Command::Command(uint32_t stream, Child child, uint32_t output_window, Outbox* outbox)
    : stream_(stream), child_(std::move(child)), outbox_(outbox), input_credit_(kStdinWindow) {
  outputs_[0].fd = std::move(child_.out);
  outputs_[1].fd = std::move(child_.err);
  outputs_[1].type = FrameType::kStderr;
  for (Output& output : outputs_) output.credit = output_window;
}

int Command::fd(Pipe pipe) const {
  switch (pipe) {
    case Pipe::kStdin:
      return child_.in.get();
    case Pipe::kStdout:
      return outputs_[0].fd.get();
    case Pipe::kStderr:
      return outputs_[1].fd.get();
    case Pipe::kStatus:
      return child_.status.get();
  }
  return -1;
}

void Command::Output::OnReady(uint32_t events) {
  ready = true;
  hung_up = hung_up || (events & (EPOLLHUP | EPOLLERR)) != 0;
}

void Command::OnReady(Pipe pipe, uint32_t events) {
  switch (pipe) {
    case Pipe::kStdin:
      input_ready_ = true;
      break;
    case Pipe::kStdout:
      outputs_[0].OnReady(events);
      break;
    case Pipe::kStderr:
      outputs_[1].OnReady(events);
      break;
    case Pipe::kStatus:
      ReadStatus();
      break;
  }
}

void Command::ReadStatus() {
  if (!child_.status.valid()) return;
  SpawnFailure failure{};
  const ssize_t got = read(child_.status.get(), &failure, sizeof(failure));
  if (got < 0 && errno == EAGAIN) return;
  child_.status.Reset();
  if (got == static_cast<ssize_t>(sizeof(failure))) {
    if (attached_) outbox_->Fail(stream_, failure.error, SpawnStepName(failure.step));
    Detach();
    return;
  }
  started_ = true;
  if (!attached_) return;
  PayloadWriter payload;
  outbox_->Send(FrameType::kStarted, stream_, payload.U32(static_cast<uint32_t>(child_.pid)).bytes());
}

void Command::OnReaped(int wait_status) {
  ReadStatus();
  reaped_ = true;
  wait_status_ = wait_status;
  CloseStdin(false);
  for (Output& output : outputs_) {
    output.ready = true;
    output.owed = BytesIn(output.fd.get());
  }
}

bool Command::OnStdin(const uint8_t* data, size_t size) {
  const auto cost = static_cast<uint32_t>(size + kHeaderSize);
  if (size == 0 || cost > input_credit_ || input_closing_) return false;
  input_credit_ -= cost;
  input_unwritten_cost_ += cost;
  if (child_.in.valid()) input_.Append(data, size);
  PumpStdin();
  return true;
}

void Command::OnStdinClose() {
  input_closing_ = true;
  PumpStdin();
}

bool Command::OnCredit(uint8_t channel, uint32_t bytes) {
  if (channel != 1 && channel != 2) return false;
  Output& output = outputs_[channel - 1];
  output.credit += bytes;
  return bytes > 0 && output.credit <= kMaxWindow;
}

int Command::Signal(int number) {
  // The cgroup has also what left the process group. The group is told as well: a child that was only just
  // forked has not joined the cgroup yet.
  const bool all_killed = number == SIGKILL && cgroup_.Kill();
  const int error = SignalProcesses(number);
  return all_killed ? 0 : error;
}

int Command::SignalProcesses(int number) const {
  // Reaped, its number can belong to a stranger, but not as long as a member of its group is left: the kernel
  // gives a number out again only when it names neither a process nor a group.
  if (reaped_ && kill(child_.pid, 0) == 0) return ESRCH;
  const int error = SignalGroup(child_.pid, number);
  // A child that was only just forked has not made its group yet.
  if (error == ESRCH && !reaped_) return SignalProcess(child_.pid, number);
  return error;
}

void Command::Cancel() {
  cancelled_ = true;
  Signal(SIGKILL);
}

void Command::Detach() {
  attached_ = false;
  CloseStdin(false);
  for (Output& output : outputs_) output.ready = true;
}

void Command::CloseStdin(bool tell_host) {
  if (!child_.in.valid()) return;
  child_.in.Reset();
  input_.Clear();
  if (tell_host && attached_) outbox_->Send(FrameType::kStdinGone, stream_);
}

void Command::PumpStdin() {
  while (child_.in.valid() && input_ready_ && !input_.empty()) {
    const ssize_t wrote = write(child_.in.get(), input_.data(), input_.size());
    if (wrote > 0) {
      input_.Consume(static_cast<size_t>(wrote));
    } else if (errno == EAGAIN) {
      input_ready_ = false;
    } else {
      CloseStdin(true);
    }
  }
  if (input_closing_ && input_.empty()) CloseStdin(false);
  // Given back as a whole when all is written: at most one window is ever kept, and a frame's header need not
  // be split.
  if (input_.empty() && attached_ && !reaped_ && !input_closing_) {
    input_returned_ += input_unwritten_cost_;
    input_unwritten_cost_ = 0;
    if (input_returned_ >= kStdinWindow / 4) {
      PayloadWriter payload;
      outbox_->Send(FrameType::kCreditToHost, stream_, payload.U8(0).U32(input_returned_).bytes());
      input_credit_ += input_returned_;
      input_returned_ = 0;
    }
  }
}

bool Command::Pump() {
  PumpStdin();
  bool more = false;
  for (Output& output : outputs_) {
    if (!output.fd.valid()) continue;
    if (!attached_ || cancelled_) {
      more = Discard(&output) || more;
    } else if (started_) {
      more = PumpOutput(&output) || more;
    }
  }
  MaybeExit();
  return more;
}

bool Command::PumpOutput(Output* output) {
  if (!output->ready || !outbox_->HasRoom()) return false;
  if (output->credit <= kHeaderSize) {
    // No byte may be taken, but whether there is one left can be told.
    if (AtEnd(output->fd.get())) output->fd.Reset();
    return false;
  }
  const size_t most = std::min<uint64_t>(output->credit - kHeaderSize, kChunk);
  const ssize_t got = outbox_->SendFrom(output->fd.get(), output->type, stream_, most);
  if (got > 0) {
    const auto size = static_cast<size_t>(got);
    output->credit -= size + kHeaderSize;
    output->owed -= std::min(output->owed, size);
    // A short read has emptied the pipe, and the next byte is a new event; not so the end, which may have
    // been told with the bytes.
    if (size < most && !output->hung_up) output->ready = false;
    return output->ready;
  }
  if (got < 0 && errno == EAGAIN) {
    output->ready = false;
    output->owed = 0;
  } else {
    output->fd.Reset();
  }
  return false;
}

bool Command::Discard(Output* output) {
  if (!output->ready) return false;
  uint8_t scratch[16384];
  const ssize_t got = read(output->fd.get(), scratch, sizeof(scratch));
  if (got > 0) return true;
  output->ready = false;
  if (got == 0 || errno != EAGAIN) output->fd.Reset();
  return false;
}

void Command::MaybeExit() {
  if (!attached_ || !reaped_ || !started_) return;
  const bool ended = !outputs_[0].fd.valid() && !outputs_[1].fd.valid();
  const bool owes =
      (outputs_[0].fd.valid() && outputs_[0].owed > 0) || (outputs_[1].fd.valid() && outputs_[1].owed > 0);
  if (!ended && !cancelled_) {
    if (owes) return;
    if (deadline_ == kNoDeadline) deadline_ = NowMs() + kBackgroundGraceMs;
    if (NowMs() < deadline_) return;
  }
  PayloadWriter payload;
  if (WIFSIGNALED(wait_status_)) {
    payload.U8(1).U8(static_cast<uint8_t>(WTERMSIG(wait_status_)));
  } else {
    payload.U8(0).U8(static_cast<uint8_t>(WEXITSTATUS(wait_status_)));
  }
  outbox_->Send(FrameType::kExit, stream_, payload.bytes());
  Detach();
}

}  // namespace microvm::agent
