#include "output_ring.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace microvm::agent {

size_t RingBudget::OfThisGuest() {
  constexpr size_t kMost = 32u << 20;
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_size = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_size <= 0) return kMost / 4;
  return std::min(kMost, static_cast<size_t>(pages) / 16 * static_cast<size_t>(page_size));
}

bool OutputRing::HasRoom(uint64_t keep) {
  if (size() == capacity_) Grow();
  return RoomBehind(keep) > 0;
}

size_t OutputRing::RoomBehind(uint64_t keep) const {
  const uint64_t oldest = std::max(first_, std::min(keep, end_));
  return capacity_ - static_cast<size_t>(end_ - oldest);
}

ssize_t OutputRing::ReadFrom(int fd, uint64_t keep, size_t most) {
  const size_t at = static_cast<size_t>(end_ % capacity_);
  // One read fills the free bytes before it loses old ones: what is kept is as much as there is room for.
  const size_t unused = capacity_ - size();
  size_t room = std::min({most, RoomBehind(keep), capacity_ - at});
  if (unused > 0) room = std::min(room, unused);
  // SAFETY: `at + room` does not exceed the capacity, and the bytes there are free or may be lost.
  const ssize_t got = read(fd, bytes_.get() + at, room);
  if (got <= 0) return got;
  end_ += static_cast<size_t>(got);
  if (size() > capacity_) first_ = end_ - capacity_;
  return got;
}

OutputRing::Part OutputRing::At(uint64_t from, size_t most) const {
  Part part;
  const size_t size = std::min(most, static_cast<size_t>(end_ - from));
  if (size == 0) return part;
  const size_t at = static_cast<size_t>(from % capacity_);
  part.data = bytes_.get() + at;
  part.size = std::min(size, capacity_ - at);
  part.more = bytes_.get();
  part.more_size = size - part.size;
  return part;
}

void OutputRing::Grow() {
  const size_t capacity = capacity_ == 0 ? kLeast : capacity_ * 2;
  if (capacity > kMost || (capacity_ > 0 && !budget_->Take(capacity - capacity_))) return;
  std::unique_ptr<uint8_t[]> grown(new uint8_t[capacity]);
  const Part kept = At(first_, size());
  // A byte stands where its offset says, so each piece is copied to its own place.
  for (uint64_t offset = first_; offset < end_;) {
    const bool is_first = offset - first_ < kept.size;
    const uint8_t* from =
        is_first ? kept.data + (offset - first_) : kept.more + (offset - first_ - kept.size);
    const size_t left = static_cast<size_t>(is_first ? first_ + kept.size - offset : end_ - offset);
    const size_t at = static_cast<size_t>(offset % capacity);
    const size_t piece = std::min(left, capacity - at);
    std::memcpy(grown.get() + at, from, piece);
    offset += piece;
  }
  bytes_ = std::move(grown);
  capacity_ = capacity;
}

void OutputRing::Clear() {
  if (capacity_ > kLeast) budget_->GiveBack(capacity_ - kLeast);
  bytes_.reset();
  capacity_ = 0;
  first_ = end_;
}

}  // namespace microvm::agent
