#include "agent.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"

namespace microvm::agent {
namespace {

constexpr uint32_t kSignalGraceMs = 5000;
// The farewell waits this long for a host that does not read.
constexpr uint64_t kFarewellMs = 2000;

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&set, number);
  return set;
}

}  // namespace

Agent::Agent(const Power::Options& options)
    : streams_(&poller_),
      commands_(&streams_, &outbox_),
      power_(options, &outbox_, &streams_, &commands_, &freezer_),
      channel_(&poller_),
      session_({options.is_init || options.is_beside_init, &outbox_, &streams_, &commands_, &freezer_,
                &power_, &secrets_}) {
  // What passes through this process is nothing for a core file, or for a debugger of another user.
  prctl(PR_SET_DUMPABLE, 0);
  const sigset_t set = HandledSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  poller_.Add(signals_.Get(), EPOLLIN, Tag{Tag::Kind::kSignals, 0, 0});
  // Orphans of commands come to us, as they would to an init, so that they are reaped and found at shutdown.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void Agent::Continue(uint32_t epoch, bool frozen) {
  outbox_.epoch = epoch;
  freezer_.Continue(frozen);
}

int Agent::Run() {
  for (;;) {
    epoll_event events[64];
    const int count = poller_.Wait(events, 64, TimeoutMs());
    for (int i = 0; i < count; i++) Dispatch(Tag::Unpack(events[i].data.u64), events[i].events);
    const uint64_t now = NowMs();
    channel_.Tick(now);
    session_.Tick(now);
    MoveAll();
    commands_.LimitKept();
    if (channel_.TakeHostLeft()) Forget();
    if (channel_.ended()) {
      commands_.SignalAll(SIGKILL);
      return 0;
    }
    // There may be nobody whose end would tell that everybody is gone.
    if (power_.begun()) Reap();
    if (power_.Tick(now)) FlushAndFinish();
  }
}

void Agent::Forget() {
  session_.Drop(nullptr);
  outbox_.Clear();
  decoder_.Skip();
}

int Agent::TimeoutMs() const {
  if (busy_) return 0;
  const uint64_t nearest = std::min(std::min(streams_.deadline(), session_.deadline()),
                                    std::min(power_.deadline(), channel_.deadline()));
  if (nearest == kNever) return -1;
  const uint64_t now = NowMs();
  return nearest <= now ? 0 : static_cast<int>(std::min<uint64_t>(nearest - now, 60000));
}

void Agent::Dispatch(const Tag& tag, uint32_t events) {
  switch (tag.kind) {
    case Tag::Kind::kSignals:
      OnSignals();
      break;
    case Tag::Kind::kListener:
      if (channel_.OnListenerEvent()) Forget();
      break;
    case Tag::Kind::kDialled:
      if (channel_.OnDialled()) Forget();
      break;
    case Tag::Kind::kChannel:
      channel_.OnEvent(events);
      break;
    case Tag::Kind::kStream:
      streams_.OnEvent(tag, events);
      break;
  }
}

void Agent::OnSignals() {
  signalfd_siginfo info;
  while (read(signals_.Get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)))
    OnSignal(info.ssi_signo);
}

// The signals that busybox's halt, poweroff and reboot send to process 1, and the kernel's Ctrl-Alt-Del.
void Agent::OnSignal(uint32_t number) {
  if (number == SIGCHLD) {
    Reap();
    return;
  }
  if (getpid() != 1) _exit(128 + static_cast<int>(number));
  switch (number) {
    case SIGUSR1:
    case SIGUSR2:
      power_.Begin(FarewellReason::kPowerOff, PowerAction::kPowerOff, kSignalGraceMs);
      break;
    case SIGTERM:
      power_.Begin(FarewellReason::kReboot, PowerAction::kReboot, kSignalGraceMs);
      break;
    case SIGINT:
      power_.Begin(FarewellReason::kShutdown, PowerAction::kReboot, kSignalGraceMs);
      break;
    default:
      break;
  }
}

void Agent::Reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid > 0) {
      commands_.OnReaped(pid, status);
    } else {
      if (pid < 0 && errno == ECHILD) power_.OnNoChildren();
      return;
    }
  }
}

// Everything that can move now, in turns, so that neither a flood of input nor one of output starves the
// other, nor either the events.
void Agent::MoveAll() {
  busy_ = true;
  for (int turn = 0; turn < 64 && busy_; turn++) busy_ = Work();
}

bool Agent::Work() {
  bool moved = false;
  DecodeBuffered();
  if (!decoder_pending_ && outbox_.HasRoom() && channel_.ReadInto(&decoder_)) {
    decoder_pending_ = true;
    moved = true;
    DecodeBuffered();
  }
  if (streams_.Pump()) moved = true;
  while (channel_.WriteFrom(&outbox_.queue())) moved = true;
  return moved || (decoder_pending_ && outbox_.HasRoom());
}

void Agent::DecodeBuffered() {
  Frame frame;
  while (decoder_pending_ && outbox_.HasRoom()) {
    switch (decoder_.Next(&frame)) {
      case Decoder::Event::kNeedMore:
        decoder_pending_ = false;
        break;
      case Decoder::Event::kMark:
        session_.OnMark(decoder_.session());
        break;
      case Decoder::Event::kFrame:
        if (!session_.OnFrame(frame)) {
          session_.Drop(session_.problem());
          decoder_.Skip();
        }
        if (frame.type == FrameType::kSecrets) decoder_.Wipe(frame);
        break;
      case Decoder::Event::kViolation:
        session_.Drop(decoder_.problem());
        break;
    }
  }
}

void Agent::FlushAndFinish() {
  const uint64_t until = NowMs() + kFarewellMs;
  ByteQueue& queue = outbox_.queue();
  while (!queue.empty() && channel_.CanWrite() && NowMs() < until) {
    if (channel_.WriteFrom(&queue)) continue;
    epoll_event events[16];
    const int count = poller_.Wait(events, 16, static_cast<int>(until - std::min(until, NowMs())));
    for (int i = 0; i < count; i++) {
      const Tag tag = Tag::Unpack(events[i].data.u64);
      if (tag.kind == Tag::Kind::kChannel) channel_.OnEvent(events[i].events);
    }
  }
  channel_.Finish(until - std::min(until, NowMs()));
  power_.Finish();
}

}  // namespace microvm::agent
