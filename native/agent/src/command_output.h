#pragma once

#include <cstdint>

#include "outbox.h"
#include "output_ring.h"
#include "protocol.h"
#include "unique_fd.h"

namespace microvm::agent {

// One output of a command: what it writes goes into the ring, and from there to the reader, if there is one.
// The descriptor is registered edge-triggered, as those of `Stream`.
class CommandOutput {
 public:
  // What the ring does when it is full.
  enum class When : uint8_t {
    kWaits,       // a reader has not acknowledged it: the command is held up
    kOverwrites,  // nobody reads: the oldest bytes go
    kThrowsAway   // the command has ended: what its background writes is nobody's
  };

  // `is_acknowledged`: the host says what it has; else what was sent is its.
  CommandOutput(FrameType type, RingBudget* budget, bool is_acknowledged)
      : type_(type), ring_(budget), is_acknowledged_(is_acknowledged) {}

  // Makes the descriptor non-blocking; it is the output's from here on.
  void Take(UniqueFd fd);
  int fd() const { return fd_.Get(); }
  bool open() const { return static_cast<bool>(fd_); }
  void OnReady() { ready_ = true; }

  uint64_t first() const { return ring_.first(); }
  uint64_t end() const { return ring_.end(); }
  size_t size() const { return ring_.size(); }
  // Where the present reader began.
  uint64_t begin() const { return begin_; }

  // A reader begins at this offset, or at the oldest byte that is kept.
  void BeginReading(uint64_t offset, uint64_t credit);
  // False: the frame breaks the protocol.
  [[nodiscard]] bool OnCredit(uint32_t bytes);
  [[nodiscard]] bool OnAck(uint64_t offset);
  bool AllSent() const { return sent_ == ring_.end(); }

  // What lies in the descriptor now is taken before the command counts as ended.
  void Owe();
  bool Owes() const { return fd_ && owed_ > 0; }

  // Both move what can be moved now; true when there is more that could go on at once.
  bool Fill(When when);
  bool Send(uint32_t stream, Outbox* outbox);

 private:
  FrameType type_;
  OutputRing ring_;
  bool is_acknowledged_;
  UniqueFd fd_;
  bool ready_ = false;
  size_t owed_ = 0;
  uint64_t credit_ = 0;
  uint64_t begin_ = 0;
  uint64_t sent_ = 0;
  uint64_t acked_ = 0;
};

}  // namespace microvm::agent
