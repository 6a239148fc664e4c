#include "frame.h"

#include <algorithm>
#include <cstring>

#include "crc32.h"

namespace microvm::agent {
namespace {

// Bytes before `pos_` that stay: the begin of a preamble whose end has not arrived.
constexpr size_t kHistory = kPreamble.size() - 1;
constexpr size_t kReadSize = 64 * 1024;
constexpr size_t kCapacity = kHistory + kMaxFrame + kReadSize;

uint32_t Load32(const uint8_t* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

bool IsFromHost(uint8_t type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::kHello:
    case FrameType::kPing:
    case FrameType::kOpen:
    case FrameType::kData:
    case FrameType::kEnd:
    case FrameType::kCancel:
    case FrameType::kCredit:
    case FrameType::kSignal:
    case FrameType::kResize:
    case FrameType::kAck:
    case FrameType::kDetach:
    case FrameType::kFreeze:
    case FrameType::kThaw:
    case FrameType::kSetClock:
    case FrameType::kShutdown:
    case FrameType::kMetrics:
    case FrameType::kSetEnv:
    case FrameType::kSetImage:
    case FrameType::kListCommands:
    case FrameType::kSecrets:
      return true;
    default:
      return false;
  }
}

}  // namespace

void EncodeHeader(uint8_t out[kHeaderSize], FrameType type, uint32_t epoch, uint32_t stream,
                  const uint8_t* payload, size_t size) {
  const auto length = static_cast<uint32_t>(size);
  std::memset(out, 0, kHeaderSize);
  std::memcpy(out, kMagic.data(), kMagic.size());
  out[4] = static_cast<uint8_t>(type);
  std::memcpy(out + 8, &epoch, 4);
  std::memcpy(out + 12, &stream, 4);
  std::memcpy(out + 16, &length, 4);
  const uint32_t crc = Crc32(Crc32(0, out, 20), payload, size);
  std::memcpy(out + 20, &crc, 4);
}

Decoder::Decoder() : buffer_(kCapacity) {}

uint8_t* Decoder::Space(size_t* size) {
  if (pos_ > kHistory && kCapacity - end_ < kReadSize) {
    const size_t cut = pos_ - kHistory;
    std::memmove(buffer_.data(), buffer_.data() + cut, end_ - cut);
    pos_ -= cut;
    end_ -= cut;
    scanned_ = scanned_ > cut ? scanned_ - cut : 0;
    if (mark_ != kNoMark) mark_ -= cut;
  }
  *size = kCapacity - end_;
  return buffer_.data() + end_;
}

void Decoder::Commit(size_t size) {
  end_ += size;
  if (mark_ == kNoMark) FindMark(scanned_ > kHistory ? scanned_ - kHistory : 0);
}

void Decoder::FindMark(size_t from) {
  const void* hit = memmem(buffer_.data() + from, end_ - from, kPreamble.data(), kPreamble.size());
  mark_ = hit == nullptr ? kNoMark : static_cast<size_t>(static_cast<const uint8_t*>(hit) - buffer_.data());
  scanned_ = end_;
}

Decoder::Event Decoder::Violation(const char* problem) {
  problem_ = problem;
  state_ = State::kSkip;
  return Event::kViolation;
}

Decoder::Event Decoder::Next(Frame* frame) {
  for (;;) {
    // A mark may begin in bytes that are used already, when a hostile sender overlapped it with a frame.
    const size_t limit = mark_ == kNoMark ? end_ : std::max(mark_, pos_);
    if (state_ == State::kFrames) {
      const Event event = NextFrame(limit, frame);
      if (event != Event::kNeedMore) return event;
    } else if (state_ == State::kSession && limit - pos_ >= kSessionIdSize) {
      std::memcpy(session_.data(), buffer_.data() + pos_, kSessionIdSize);
      pos_ += kSessionIdSize;
      state_ = State::kFrames;
      return Event::kMark;
    } else if (state_ == State::kSkip) {
      pos_ = limit;
    }
    if (mark_ == kNoMark) return Event::kNeedMore;
    // What is unfinished before the mark stays so for ever.
    pos_ = mark_ + kPreamble.size();
    state_ = State::kSession;
    FindMark(pos_);
  }
}

void Decoder::Wipe(const Frame& frame) {
  const auto at = static_cast<size_t>(frame.payload - buffer_.data());
  explicit_bzero(buffer_.data() + at, frame.size);
  // What was moved to the front of the buffer has left its bytes behind.
  explicit_bzero(buffer_.data() + end_, buffer_.size() - end_);
}

Decoder::Event Decoder::NextFrame(size_t limit, Frame* frame) {
  const size_t have = limit - pos_;
  const uint8_t* at = buffer_.data() + pos_;
  if (have < kHeaderSize) return Event::kNeedMore;
  if (std::memcmp(at, kMagic.data(), kMagic.size()) != 0) return Violation("bad magic");
  const uint32_t length = Load32(at + 16);
  if (length > kMaxPayload) return Violation("frame too long");
  if (have < kHeaderSize + length) return Event::kNeedMore;
  const uint8_t* payload = at + kHeaderSize;
  if (Crc32(Crc32(0, at, 20), payload, length) != Load32(at + 20)) return Violation("bad checksum");
  if (!IsFromHost(at[4])) return Violation("unknown frame type");
  const bool may_continue = LongestMessage(static_cast<FrameType>(at[4])) != 0;
  if ((at[5] & ~(may_continue ? kFlagMore : 0)) != 0 || at[6] != 0 || at[7] != 0)
    return Violation("bad flags");
  frame->type = static_cast<FrameType>(at[4]);
  frame->flags = at[5];
  frame->epoch = Load32(at + 8);
  frame->stream = Load32(at + 12);
  frame->payload = payload;
  frame->size = length;
  pos_ += kHeaderSize + length;
  return Event::kFrame;
}

}  // namespace microvm::agent
