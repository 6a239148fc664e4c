#include "session.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "clock.h"
#include "exec_request.h"
#include "identity.h"
#include "image_config.h"
#include "system_metrics.h"
#include "version.h"

namespace microvm::agent {
namespace {

// How long everything is given to come to rest before something is taken to be in its way.
constexpr uint64_t kPatienceMs = 10;

}  // namespace

Session::Session(const Parts& parts)
    : is_init_(parts.is_init),
      outbox_(parts.outbox),
      streams_(parts.streams),
      commands_(parts.commands),
      freezer_(parts.freezer),
      power_(parts.power),
      secrets_(parts.secrets),
      opener_({parts.outbox, parts.streams, parts.commands, parts.freezer, parts.power, parts.secrets}) {
  utsname names{};
  if (uname(&names) == 0) kernel_release_ = names.release;
}

void Session::OnMark(const SessionId& session) {
  // The older session lives on until a valid HELLO follows: a mark alone proves nothing.
  id_ = session;
  awaiting_hello_ = true;
}

void Session::Drop(const char* problem) {
  streams_->LoseAll(StreamHandler::Loss::kSession);
  ForgetBegun();
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
  if (begun_ && (frame.type != begun_->type || frame.stream != begun_->stream))
    return Broken("message not finished");
  PayloadReader in(frame.payload, frame.size);
  switch (frame.type) {
    case FrameType::kData:
    case FrameType::kEnd:
    case FrameType::kCancel:
    case FrameType::kCredit:
    case FrameType::kResize:
    case FrameType::kAck:
    case FrameType::kDetach:
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
  opener_.Begin(window);
  open_ = common;
  outbox_->Begin(id_);
  PayloadWriter out;
  out.Raw(id_.data(), id_.size());
  out.U16(common ? kProtocolVersion : 0).U16(kProtocolVersion).U16(kProtocolVersion);
  out.U16(kMaxStreams).U32(kInputWindow);
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
  uint64_t offset = 0;
  uint16_t columns = 0;
  uint16_t rows = 0;
  if (frame.type == FrameType::kCredit) {
    channel = in->U8();
    bytes = in->U32();
    if (!in->Done()) return Broken("bad CREDIT");
  } else if (frame.type == FrameType::kAck) {
    channel = in->U8();
    offset = in->U64();
    if (!in->Done()) return Broken("bad ACK");
  } else if (frame.type == FrameType::kResize) {
    columns = in->U16();
    rows = in->U16();
    if (!in->Done() || columns == 0 || rows == 0) return Broken("bad RESIZE");
  } else if (frame.type != FrameType::kData && frame.size != 0) {
    return Broken("payload where none belongs");
  }
  StreamHandler* handler = streams_->ByStream(frame.stream);
  if (handler == nullptr) {
    if (frame.type == FrameType::kDetach) commands_->Confirm(frame.stream);
    return true;
  }
  switch (frame.type) {
    case FrameType::kData:
      return handler->stream().OnData(frame.payload, frame.size) || Broken("DATA without credit");
    case FrameType::kEnd:
      handler->stream().OnEnd();
      return true;
    case FrameType::kCancel:
      handler->Cancel();
      return true;
    case FrameType::kResize:
      return handler->Resize(columns, rows) || Broken("RESIZE without a terminal");
    case FrameType::kAck:
      return handler->OnAck(channel, offset) || Broken("ACK of what was not sent");
    case FrameType::kDetach:
      return handler->OnDetach() || Broken("DETACH from no command");
    default:
      return handler->OnCredit(channel, bytes) || Broken("bad CREDIT");
  }
}

bool Session::OnRequest(const Frame& frame, PayloadReader* in) {
  const bool continues = begun_.has_value();
  if (!continues && frame.stream <= last_stream_) return Broken("stream number used again");
  last_stream_ = frame.stream;
  if (const size_t longest = LongestMessage(frame.type); longest != 0) return OnPart(frame, longest);
  switch (frame.type) {
    case FrameType::kPing: {
      if (!in->Done()) return Broken("bad PING");
      PayloadWriter out;
      WriteInfo(&out);
      outbox_->Send(FrameType::kPong, frame.stream, out.bytes());
      return true;
    }
    case FrameType::kSignal:
      return OnSignal(frame.stream, in);
    case FrameType::kListCommands:
      return OnListCommands(frame.stream, in);
    case FrameType::kFreeze:
      return OnFreeze(frame.stream, in);
    case FrameType::kThaw:
      return OnThaw(frame.stream, in);
    case FrameType::kSetClock:
      return OnSetClock(frame.stream, in);
    case FrameType::kShutdown:
      return OnShutdown(frame.stream, in);
    case FrameType::kMetrics:
      return OnMetrics(frame.stream, in);
    default:
      return Broken("unknown frame type");
  }
}

bool Session::OnPart(const Frame& frame, size_t longest) {
  if (!begun_) {
    begun_ = PartialMessage{frame.type, frame.stream, {}};
    // In one piece from the beginning: a vector that grows leaves copies behind.
    if (frame.type == FrameType::kSecrets) begun_->body.reserve(longest);
  }
  if (begun_->body.size() + frame.size > longest) return Broken("message too long");
  begun_->body.insert(begun_->body.end(), frame.payload, frame.payload + frame.size);
  if ((frame.flags & kFlagMore) != 0) return true;
  const bool is_fine = OnMessage(frame.type, frame.stream, begun_->body);
  ForgetBegun();
  return is_fine;
}

void Session::ForgetBegun() {
  if (begun_ && begun_->type == FrameType::kSecrets) explicit_bzero(begun_->body.data(), begun_->body.size());
  begun_.reset();
}

bool Session::OnMessage(FrameType type, uint32_t stream, const Bytes& body) {
  if (type == FrameType::kOpen) {
    const char* problem = opener_.Open(stream, body);
    return problem == nullptr || Broken(problem);
  }
  PayloadReader in(body.data(), body.size());
  if (type == FrameType::kSetImage) return OnSetImage(stream, &in);
  return type == FrameType::kSetEnv ? OnSetEnv(stream, &in) : OnSecrets(stream, &in);
}

bool Session::OnSetImage(uint32_t stream, PayloadReader* in) {
  ImageConfig image;
  if (!DecodeImageConfig(in, &image)) return Broken("bad SET_IMAGE");
  commands_->SetImage(std::move(image));
  Answer(stream, 0, "image");
  return true;
}

bool Session::OnSecrets(uint32_t stream, PayloadReader* in) {
  SecretsRequest request;
  if (!DecodeSecrets(in, &request)) return Broken("bad SECRETS");
  const SecretFailure failure = secrets_->Apply(request);
  Answer(stream, failure.error, failure.step);
  return true;
}

bool Session::OnSetEnv(uint32_t stream, PayloadReader* in) {
  std::vector<std::string> env;
  if (!DecodeEnvironment(in, &env) || !in->Done()) return Broken("bad SET_ENV");
  commands_->SetEnvironment(std::move(env));
  Answer(stream, 0, "env");
  return true;
}

bool Session::OnSignal(uint32_t stream, PayloadReader* in) {
  const uint32_t target = in->U32();
  const uint8_t number = in->U8();
  // Stream 0: a command by its id, whether somebody reads it or not.
  const uint64_t id = target == 0 ? in->U64() : 0;
  if (!in->Done() || number < 1 || number > 64 || (target == 0 ? id == 0 : target >= stream))
    return Broken("bad SIGNAL");
  if (target == 0) {
    Answer(stream, commands_->Signal(id, number), "signal");
    return true;
  }
  StreamHandler* handler = streams_->ByStream(target);
  Answer(stream, handler == nullptr ? ESRCH : handler->Signal(number), "signal");
  return true;
}

bool Session::OnListCommands(uint32_t stream, PayloadReader* in) {
  const uint32_t from = in->U32();
  if (!in->Done()) return Broken("bad LIST_COMMANDS");
  PayloadWriter out;
  commands_->List(from, &out);
  outbox_->Send(FrameType::kCommands, stream, out.bytes());
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
    streams_->LoseAll(StreamHandler::Loss::kEpoch);
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

bool Session::OnMetrics(uint32_t stream, PayloadReader* in) {
  if (!in->Done()) return Broken("bad METRICS");
  PayloadWriter out;
  WriteSystemMetrics(ReadSystemMetrics("/proc"), &out);
  outbox_->Send(FrameType::kMetricsAnswer, stream, out.bytes());
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
