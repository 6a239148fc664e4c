#include "session.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "clock.h"
#include "identity.h"
#include "version.h"

namespace microvm::agent {
namespace {

// How long everything is given to come to rest before something is taken to be in its way.
constexpr uint64_t kPatienceMs = 10;

}  // namespace

Session::Session(bool is_init, Outbox* outbox, CommandTable* commands, Freezer* freezer, Power* power)
    : is_init_(is_init), outbox_(outbox), commands_(commands), freezer_(freezer), power_(power) {
  utsname names{};
  if (uname(&names) == 0) kernel_release_ = names.release;
}

void Session::OnMark(const SessionId& session) {
  // The older session lives on until a valid HELLO follows: a mark alone proves nothing.
  id_ = session;
  awaiting_hello_ = true;
}

void Session::Drop(const char* problem) {
  commands_->DetachAll();
  exec_.reset();
  awaiting_hello_ = false;
  if (freezing_) {
    // Nobody will learn that it froze.
    freezing_.reset();
    freezer_->Thaw(commands_->Groups());
  }
  if (problem != nullptr && open_) {
    PayloadWriter payload;
    outbox_->Send(FrameType::kReset, 0, payload.Text(problem, 256).bytes());
  }
  open_ = false;
  last_stream_ = 0;
}

bool Session::OnFrame(const Frame& frame) {
  if (awaiting_hello_) {
    awaiting_hello_ = false;
    return OnHello(frame);
  }
  if (frame.type == FrameType::kHello || !open_) return Broken("no HELLO after the mark");
  if (frame.epoch > outbox_->epoch) return Broken("epoch of the future");
  if (frame.epoch < outbox_->epoch) return true;
  if (exec_ && (frame.type != FrameType::kExec || frame.stream != exec_->stream))
    return Broken("EXEC not finished");
  PayloadReader in(frame.payload, frame.size);
  switch (frame.type) {
    case FrameType::kStdin:
    case FrameType::kStdinClose:
    case FrameType::kCancel:
    case FrameType::kCredit:
      return OnStreamFrame(frame, &in);
    default:
      return OnRequest(frame, &in);
  }
}

bool Session::OnHello(const Frame& frame) {
  if (frame.type != FrameType::kHello || frame.epoch != 0 || frame.stream != 0)
    return Broken("no HELLO after the mark");
  PayloadReader in(frame.payload, frame.size);
  const std::string_view session = in.Raw(kSessionIdSize);
  const uint16_t lowest = in.U16();
  const uint16_t highest = in.U16();
  const uint32_t window = in.U32();
  if (!in.Done() || lowest > highest || window < kMinOutputWindow || window > kMaxOutputWindow ||
      std::memcmp(session.data(), id_.data(), kSessionIdSize) != 0) {
    return Broken("bad HELLO");
  }
  Drop(nullptr);
  const bool common = lowest <= kProtocolVersion && kProtocolVersion <= highest;
  output_window_ = window;
  open_ = common;
  outbox_->Begin(id_);
  PayloadWriter out;
  out.Raw(id_.data(), id_.size());
  out.U16(common ? kProtocolVersion : 0).U16(kProtocolVersion).U16(kProtocolVersion);
  out.U16(kMaxStreams).U32(kStdinWindow);
  WriteInfo(&out);
  outbox_->Send(FrameType::kHelloAck, 0, out.bytes());
  return true;
}

void Session::WriteInfo(PayloadWriter* out) const {
  const int flags = (freezer_->frozen() ? kInfoFrozen : 0) | (is_init_ ? kInfoInit : 0);
  out->U32(outbox_->epoch).U8(static_cast<uint8_t>(flags)).Text(kAgentVersion, 64).Text(kernel_release_, 128);
}

bool Session::OnStreamFrame(const Frame& frame, PayloadReader* in) {
  if (frame.stream == 0 || frame.stream > last_stream_) return Broken("stream was never opened");
  uint8_t channel = 0;
  uint32_t bytes = 0;
  if (frame.type == FrameType::kCredit) {
    channel = in->U8();
    bytes = in->U32();
    if (!in->Done()) return Broken("bad CREDIT");
  } else if (frame.type != FrameType::kStdin && frame.size != 0) {
    return Broken("payload where none belongs");
  }
  Command* command = commands_->ByStream(frame.stream);
  if (command == nullptr) return true;
  switch (frame.type) {
    case FrameType::kStdin:
      return command->OnStdin(frame.payload, frame.size) || Broken("STDIN without credit");
    case FrameType::kStdinClose:
      command->OnStdinClose();
      return true;
    case FrameType::kCancel:
      command->Cancel();
      return true;
    default:
      return command->OnCredit(channel, bytes) || Broken("bad CREDIT");
  }
}

bool Session::OnRequest(const Frame& frame, PayloadReader* in) {
  const bool continues = exec_.has_value();
  if (!continues && frame.stream <= last_stream_) return Broken("stream number used again");
  last_stream_ = frame.stream;
  switch (frame.type) {
    case FrameType::kPing: {
      if (!in->Done()) return Broken("bad PING");
      PayloadWriter out;
      WriteInfo(&out);
      outbox_->Send(FrameType::kPong, frame.stream, out.bytes());
      return true;
    }
    case FrameType::kExec:
      return OnExec(frame);
    case FrameType::kSignal:
      return OnSignal(frame.stream, in);
    case FrameType::kFreeze:
      return OnFreeze(frame.stream, in);
    case FrameType::kThaw:
      return OnThaw(frame.stream, in);
    case FrameType::kSetClock:
      return OnSetClock(frame.stream, in);
    case FrameType::kShutdown:
      return OnShutdown(frame.stream, in);
    default:
      return Broken("unknown frame type");
  }
}

bool Session::OnExec(const Frame& frame) {
  if (!exec_) exec_ = PartialExec{frame.stream, {}};
  if (exec_->body.size() + frame.size > kMaxExecBody) return Broken("EXEC too long");
  exec_->body.insert(exec_->body.end(), frame.payload, frame.payload + frame.size);
  if ((frame.flags & kFlagMore) != 0) return true;
  const Bytes body = std::move(exec_->body);
  exec_.reset();
  return StartExec(frame.stream, body);
}

bool Session::StartExec(uint32_t stream, const Bytes& body) {
  PayloadReader in(body.data(), body.size());
  SpawnRequest request;
  const uint16_t argc = in.U16();
  if (argc == 0 || argc > kMaxExecStrings) return Broken("bad EXEC");
  for (int i = 0; i < argc && in.ok(); i++) request.argv.emplace_back(in.Text(kMaxExecBody));
  const uint16_t envc = in.U16();
  if (envc > kMaxExecStrings) return Broken("bad EXEC");
  for (int i = 0; i < envc && in.ok(); i++) {
    request.env.emplace_back(in.Text(kMaxExecBody));
    const size_t equals = request.env.back().find('=');
    if (equals == 0 || equals == std::string::npos) return Broken("bad EXEC");
  }
  request.cwd = in.Text(kMaxExecBody);
  if (!in.Done() || request.cwd.empty() || request.cwd[0] != '/') return Broken("bad EXEC");

  if (power_->begun()) {
    outbox_->Fail(stream, ESHUTDOWN, "shutdown");
  } else if (freezer_->frozen()) {
    outbox_->Fail(stream, EBUSY, "frozen");
  } else if (const int error = commands_->Start(stream, request, freezer_->cgroup(), output_window_);
             error != 0) {
    outbox_->Fail(stream, error, "start");
  }
  return true;
}

bool Session::OnSignal(uint32_t stream, PayloadReader* in) {
  const uint32_t target = in->U32();
  const uint8_t number = in->U8();
  if (!in->Done() || number < 1 || number > 64 || target == 0 || target >= stream)
    return Broken("bad SIGNAL");
  Command* command = commands_->ByStream(target);
  Answer(stream, command == nullptr ? ESRCH : command->Signal(number), "signal");
  return true;
}

bool Session::OnFreeze(uint32_t stream, PayloadReader* in) {
  const uint32_t timeout_ms = in->U32();
  if (!in->Done() || timeout_ms < 1 || timeout_ms > kMaxWaitMs) return Broken("bad FREEZE");
  if (freezing_ || power_->begun()) {
    outbox_->Fail(stream, EBUSY, "freeze");
  } else if (freezer_->frozen()) {
    outbox_->Send(FrameType::kOk, stream);
  } else if (const int error = freezer_->Begin(commands_->Groups()); error != 0) {
    freezer_->Thaw(commands_->Groups());
    outbox_->Fail(stream, error, "freeze");
  } else {
    const uint64_t now = NowMs();
    freezing_ = Freezing{stream, now + timeout_ms, now, now + kPatienceMs};
  }
  return true;
}

void Session::Tick(uint64_t now) {
  if (!freezing_ || now < freezing_->next_look) return;
  if (freezer_->Settled(commands_->Groups())) {
    if (is_init_) sync();
    outbox_->Send(FrameType::kOk, freezing_->stream);
  } else if (const int error = now >= freezing_->until ? ETIMEDOUT : FreezeAgain(now); error != 0) {
    freezer_->Thaw(commands_->Groups());
    outbox_->Fail(freezing_->stream, error, "freeze");
  } else {
    freezing_->next_look = now + 1;
    return;
  }
  freezing_.reset();
}

int Session::FreezeAgain(uint64_t now) {
  if (now < freezing_->next_attempt) return 0;
  freezing_->next_attempt = now + kPatienceMs;
  return freezer_->Again(commands_->Groups());
}

bool Session::OnThaw(uint32_t stream, PayloadReader* in) {
  const uint32_t epoch = in->U32();
  const uint64_t clock = in->U64();
  const std::string_view entropy = in->Blob(512);
  const std::string_view host_name = in->Text(64);
  const std::string_view machine_id = in->Text(32);
  if (!in->Done() || (!entropy.empty() && entropy.size() < 32)) return Broken("bad THAW");
  if (!machine_id.empty() && (machine_id.size() != 32 ||
                              machine_id.find_first_not_of("0123456789abcdef") != std::string_view::npos)) {
    return Broken("bad THAW");
  }

  const char* step = "epoch";
  int error = epoch != 0 && epoch < outbox_->epoch ? EINVAL : 0;
  const auto then = [&](const char* name, bool wanted, auto&& action) {
    if (error != 0 || !wanted) return;
    step = name;
    error = action();
  };
  then("thaw", freezing_ || power_->begun(), [] { return EBUSY; });
  then("clock", clock != 0, [&] { return SetWallClock(clock); });
  then("entropy", !entropy.empty(), [&] { return AddEntropy(entropy); });
  then("hostname", !host_name.empty(), [&] { return SetHostName(host_name); });
  then("machine-id", !machine_id.empty(), [&] { return SetMachineId(machine_id); });
  then("thaw", true, [&] { return freezer_->Thaw(commands_->Groups()); });
  if (error == 0 && epoch > outbox_->epoch) {
    commands_->DetachAll();
    outbox_->epoch = epoch;
  }
  Answer(stream, error, step);
  return true;
}

bool Session::OnSetClock(uint32_t stream, PayloadReader* in) {
  const uint64_t clock = in->U64();
  if (!in->Done() || clock == 0) return Broken("bad SET_CLOCK");
  Answer(stream, SetWallClock(clock), "clock");
  return true;
}

bool Session::OnShutdown(uint32_t stream, PayloadReader* in) {
  const uint8_t action = in->U8();
  const uint32_t grace_ms = in->U32();
  if (!in->Done() || action > 1 || grace_ms > kMaxWaitMs) return Broken("bad SHUTDOWN");
  outbox_->Send(FrameType::kOk, stream);
  power_->Begin(FarewellReason::kShutdown, static_cast<PowerAction>(action), grace_ms);
  return true;
}

void Session::Answer(uint32_t stream, int error, const char* step) {
  if (error == 0) {
    outbox_->Send(FrameType::kOk, stream);
  } else {
    outbox_->Fail(stream, error, step);
  }
}

}  // namespace microvm::agent
