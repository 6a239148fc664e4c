#include "command_output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "descriptor.h"

namespace microvm::agent {

void CommandOutput::Take(UniqueFd fd) {
  SetNonBlocking(fd.Get());
  fd_ = std::move(fd);
}

void CommandOutput::BeginReading(uint64_t offset, uint64_t credit) {
  begin_ = sent_ = acked_ = std::max(offset, ring_.first());
  credit_ = credit;
}

bool CommandOutput::OnCredit(uint32_t bytes) {
  credit_ += bytes;
  return bytes > 0 && credit_ <= kMaxWindow;
}

bool CommandOutput::OnAck(uint64_t offset) {
  if (offset < acked_ || offset > sent_) return false;
  acked_ = offset;
  return true;
}

void CommandOutput::Owe() {
  ready_ = true;
  owed_ = BytesIn(fd_.Get());
}

bool CommandOutput::Fill(When when) {
  if (!fd_ || !ready_) return false;
  ssize_t got = 0;
  if (when == When::kThrowsAway) {
    uint8_t scratch[16384];
    got = read(fd_.Get(), scratch, sizeof(scratch));
  } else {
    const uint64_t keep = when == When::kWaits ? acked_ : ring_.end();
    if (!ring_.HasRoom(keep)) {
      // No byte may be taken, but whether there is one left can be told.
      if (AtEnd(fd_.Get())) fd_.Reset();
      return false;
    }
    got = ring_.ReadFrom(fd_.Get(), keep, kChunk);
  }
  if (got > 0) {
    owed_ -= std::min(owed_, static_cast<size_t>(got));
    return true;
  }
  if (got < 0 && errno == EAGAIN) {
    ready_ = false;
    owed_ = 0;
  } else {
    fd_.Reset();
  }
  return false;
}

bool CommandOutput::Send(uint32_t stream, Outbox* outbox) {
  if (AllSent() || credit_ <= kHeaderSize || !outbox->HasRoom()) return false;
  const OutputRing::Part part = ring_.At(sent_, std::min<uint64_t>(credit_ - kHeaderSize, kChunk));
  outbox->SendParts(type_, stream, part.data, part.size, part.more, part.more_size);
  const size_t size = part.size + part.more_size;
  sent_ += size;
  if (!is_acknowledged_) acked_ = sent_;
  credit_ -= size + kHeaderSize;
  return !AllSent();
}

}  // namespace microvm::agent
