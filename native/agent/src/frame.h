#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "protocol.h"

namespace microvm::agent {

// One frame as it was received. The payload belongs to the decoder and is valid until its next call.
struct Frame {
  FrameType type = FrameType::kHello;
  uint8_t flags = 0;
  uint32_t epoch = 0;
  uint32_t stream = 0;
  const uint8_t* payload = nullptr;
  size_t size = 0;
};

// Writes a header with its checksum for a payload that lies at `payload`.
void EncodeHeader(uint8_t out[kHeaderSize], FrameType type, uint32_t epoch, uint32_t stream,
                  const uint8_t* payload, size_t size);

// Turns the host's byte stream into sync marks and frames, whatever came before them. Memory is fixed at
// construction.
//
// The preamble of a mark is looked for in all bytes, also inside a payload: a frame that its sender left
// unfinished would swallow the next client's mark otherwise.
class Decoder {
 public:
  enum class Event { kNeedMore, kMark, kFrame, kViolation };

  Decoder();

  // Where to put received bytes, at least one; follow it with `Commit`, then call `Next` until it needs more.
  uint8_t* Space(size_t* size);
  void Commit(size_t size);

  // kMark: `session()` is set, a frame should follow. kFrame: `*frame` is set. kViolation: `problem()` says
  // what; the decoder now skips to the next mark.
  Event Next(Frame* frame);

  // Skips everything up to the next mark: the caller found a frame that breaks a rule, or the connection is a
  // new one.
  void Skip() { state_ = State::kSkip; }

  // Overwrites what the frame, which `Next` gave last, brought.
  void Wipe(const Frame& frame);

  const SessionId& session() const { return session_; }
  const char* problem() const { return problem_; }

 private:
  enum class State { kSkip, kSession, kFrames };

  void FindMark(size_t from);
  Event Violation(const char* problem);
  Event NextFrame(size_t limit, Frame* frame);

  std::vector<uint8_t> buffer_;
  size_t pos_ = 0;      // first byte not yet used
  size_t end_ = 0;      // end of what was received
  size_t scanned_ = 0;  // the preamble was looked for before this
  size_t mark_ = kNoMark;
  State state_ = State::kSkip;
  SessionId session_{};
  const char* problem_ = "";

  static constexpr size_t kNoMark = static_cast<size_t>(-1);
};

}  // namespace microvm::agent
