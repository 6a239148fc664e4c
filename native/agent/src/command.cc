#include "command.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "process_signal.h"

namespace microvm::agent {
namespace {

// How long a grandchild that holds an output open can delay the report of the command's end.
constexpr uint64_t kBackgroundGraceMs = 250;
// How long the end of a command is kept for a reader that nobody expects.
constexpr uint64_t kKeepMs = 24ull * 60 * 60 * 1000;

uint64_t WallClockUs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

std::string TextOf(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& argument : argv) {
    if (!text.empty()) text += ' ';
    text.append(argument, 0, kMaxListedText - std::min(kMaxListedText, text.size()));
    if (text.size() >= kMaxListedText) break;
  }
  return text;
}

}  // namespace

Command::Command(uint32_t stream, const SpawnRequest& request, Child child, const Parts& parts)
    : StreamHandler(stream, parts.output_window, parts.outbox),
      id_(request.id),
      pid_(child.pid),
      started_us_(WallClockUs()),
      text_(TextOf(request.argv)),
      outbox_(parts.outbox),
      on_over_(parts.on_over),
      status_(std::move(child.status)),
      has_terminal_(child.has_terminal),
      is_main_(request.is_main),
      outputs_{{FrameType::kData1, parts.budget, request.id != 0},
               {FrameType::kData2, parts.budget, request.id != 0}},
      await_ms_(parts.await_ms),
      detached_(request.detached),
      is_read_(!request.detached) {
  stream_.TakeInput(std::move(child.in),
                    has_terminal_ ? Stream::InputEnd::kTerminal : Stream::InputEnd::kClose);
  outputs_[0].Take(std::move(child.out));
  if (child.err) outputs_[1].Take(std::move(child.err));
  for (CommandOutput& output : outputs_) output.BeginReading(0, is_read_ ? parts.output_window : 0);
}

int Command::fd(uint8_t part) const {
  if (part == kStatusPart) return status_.Get();
  return part == 0 ? stream_.fd(0) : outputs_[part - 1].fd();
}

void Command::OnReady(uint8_t part, uint32_t events) {
  if (part == kStatusPart) {
    ReadStatus();
  } else if (part == 0) {
    stream_.OnReady(0, events);
  } else {
    outputs_[part - 1].OnReady();
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
    forgotten_ = true;
    return;
  }
  stream_.Open(Opened());
}

Bytes Command::Opened() const {
  PayloadWriter payload;
  payload.U32(static_cast<uint32_t>(pid_));
  if (is_attachment_) {
    payload.U8(Flags()).U64(stream_.input_taken()).U32(stream_.input_credit());
    for (const CommandOutput& output : outputs_) payload.U64(output.begin());
  }
  return payload.bytes();
}

uint8_t Command::Flags() const {
  uint8_t flags = 0;
  if (detached_) flags |= kDetached;
  if (has_terminal_) flags |= kHasTerminal;
  if (stream_.input_ended()) flags |= kInputEnded;
  if (stream_.input_gone()) flags |= kInputGone;
  if (stream_.attached()) flags |= kHasReader;
  return flags;
}

void Command::OnReaped(int wait_status) {
  ReadStatus();
  reaped_ = true;
  wait_status_ = wait_status;
  stream_.CloseInput();
  for (CommandOutput& output : outputs_) output.Owe();
}

int Command::Attach(uint32_t stream, const AttachRequest& request) {
  if (forgotten_) return ESRCH;
  if (stream_.attached()) return EBUSY;
  for (int i = 0; i < 2 && !request.input_only; i++) {
    if (request.channels[i].offset > outputs_[i].end()) return EINVAL;
  }
  stream_.Attach(stream);
  is_attachment_ = true;
  is_read_ = !request.input_only;
  awaited_until_ = kNever;
  told_ = 0;
  for (int i = 0; i < 2; i++) {
    const AttachRequest::Channel& channel = request.channels[i];
    outputs_[i].BeginReading(is_read_ ? channel.offset : outputs_[i].end(), is_read_ ? channel.credit : 0);
  }
  // Before the program was started, `ReadStatus` says it.
  if (stream_.opened()) stream_.Open(Opened());
  return 0;
}

bool Command::OnCredit(uint8_t channel, uint32_t bytes) {
  return (channel == 1 || channel == 2) && outputs_[channel - 1].OnCredit(bytes);
}

bool Command::OnAck(uint8_t channel, uint64_t offset) {
  return (channel == 1 || channel == 2) && outputs_[channel - 1].OnAck(offset);
}

bool Command::OnDetach() {
  if (id_ == 0) return false;
  detached_ = true;
  outbox_->Send(FrameType::kEnded, stream_.id(), {static_cast<uint8_t>(CommandEnd::kDetached), 0});
  stream_.Release();
  BecomeUnattended();
  return true;
}

void Command::Lose(Loss loss) {
  const bool had_reader = stream_.attached() || told_ != 0;
  stream_.Release();
  told_ = 0;
  if (id_ == 0) {
    // What its host was told has failed must not be done later, behind what the host does next.
    Cancel();
    BecomeUnattended();
  } else if (loss == Loss::kEpoch) {
    BecomeUnattended();
  } else if (had_reader) {
    awaited_until_ = NowMs() + await_ms_;
  }
}

// Also when it has no reader already, as in a guest that was restored.
void Command::BecomeUnattended() {
  awaited_until_ = kNever;
  is_read_ = false;
  if (!detached_) stream_.CloseInput();
  if (ended_) kept_since_ = NowMs();
  if (ended_ && id_ == 0) Forget();
}

void Command::Forget() {
  forgotten_ = true;
  told_ = 0;
}

int Command::Signal(int number) {
  if (ended_) return ESRCH;
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
  Signal(SIGKILL);
}

bool Command::Resize(uint16_t columns, uint16_t rows) {
  if (!has_terminal_) return false;
  winsize size{};
  size.ws_col = columns;
  size.ws_row = rows;
  // The kernel tells the terminal's foreground group by SIGWINCH. A terminal that is gone has no size.
  ioctl(outputs_[0].fd(), TIOCSWINSZ, &size);
  return true;
}

CommandOutput::When Command::When() const {
  if (ended_) return CommandOutput::When::kThrowsAway;
  return is_read_ && !cancelled_ ? CommandOutput::When::kWaits : CommandOutput::When::kOverwrites;
}

bool Command::Pump() {
  if (IsAwaited() && NowMs() >= awaited_until_) BecomeUnattended();
  bool more = stream_.Pump();
  for (CommandOutput& output : outputs_) {
    more = output.Fill(When()) || more;
    if (is_read_ && !cancelled_ && stream_.attached() && stream_.opened()) {
      more = output.Send(stream_.id(), outbox_) || more;
    }
  }
  MaybeEnd();
  if (IsOver() && cgroup_.valid()) on_over_(std::move(cgroup_));
  MaybeTell();
  return more;
}

void Command::MaybeEnd() {
  if (ended_ || !reaped_ || !stream_.opened()) return;
  if (HasOutput() && !cancelled_) {
    if (outputs_[0].Owes() || outputs_[1].Owes()) return;
    if (grace_until_ == kNever) grace_until_ = NowMs() + kBackgroundGraceMs;
    if (NowMs() < grace_until_) return;
  }
  ended_ = true;
  kept_since_ = NowMs();
  // Whoever gave it up does not ask for it again.
  if ((cancelled_ || id_ == 0) && !stream_.attached()) Forget();
}

void Command::MaybeTell() {
  if (!ended_ || !stream_.attached() || (!is_read_ && !cancelled_)) return;
  if (!cancelled_ && !(outputs_[0].AllSent() && outputs_[1].AllSent())) return;
  const uint32_t stream = stream_.id();
  PayloadWriter payload;
  const bool is_killed = WIFSIGNALED(wait_status_);
  payload.U8(static_cast<uint8_t>(is_killed ? CommandEnd::kKilled : CommandEnd::kExited));
  payload.U8(static_cast<uint8_t>(is_killed ? WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_)));
  stream_.Finish(payload.bytes());
  if (cancelled_ || id_ == 0) {
    Forget();
  } else {
    told_ = stream;
  }
}

uint64_t Command::deadline() const {
  uint64_t nearest = awaited_until_;
  if (reaped_ && !ended_) nearest = std::min(nearest, grace_until_);
  if (IsKept()) nearest = std::min(nearest, kept_since_ + kKeepMs);
  return nearest;
}

bool Command::Gone() const {
  const bool is_wanted = IsKept() ? NowMs() < kept_since_ + kKeepMs : !forgotten_;
  return reaped_ && !stream_.attached() && !HasOutput() && !is_wanted;
}

void Command::WriteEntry(PayloadWriter* out) const {
  const bool is_killed = ended_ && WIFSIGNALED(wait_status_);
  out->U64(id_).U32(ended_ ? 0 : static_cast<uint32_t>(pid_));
  out->U8(ended_ ? (is_killed ? 2 : 1) : 0);
  out->U8(ended_ ? static_cast<uint8_t>(is_killed ? WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_)) : 0);
  out->U8(Flags()).U64(started_us_);
  for (const CommandOutput& output : outputs_) out->U64(output.first()).U64(output.end());
  out->Text(text_, kMaxListedText);
}

}  // namespace microvm::agent
