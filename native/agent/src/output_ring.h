#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace microvm::agent {

// What the rings of all commands may take together beyond the first few KiB of each, so that many commands
// cannot fill a small guest's memory.
class RingBudget {
 public:
  explicit RingBudget(size_t bytes) : left_(bytes) {}

  // A sixteenth of the guest's memory, at most 32 MiB.
  static size_t OfThisGuest();

  // All of it or nothing.
  bool Take(size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }
  void GiveBack(size_t bytes) { left_ += bytes; }

 private:
  size_t left_;
};

// The last bytes of one output of a command, each at its offset from the output's begin. It grows as it is
// filled, up to `kMost` and as far as the budget allows, and then the oldest bytes make room for new ones.
class OutputRing {
 public:
  static constexpr size_t kMost = 256 * 1024;

  explicit OutputRing(RingBudget* budget) : budget_(budget) {}
  ~OutputRing() { Clear(); }
  OutputRing(const OutputRing&) = delete;
  OutputRing& operator=(const OutputRing&) = delete;

  // Offsets of the oldest byte that is kept, and behind the newest.
  uint64_t first() const { return first_; }
  uint64_t end() const { return end_; }
  size_t size() const { return static_cast<size_t>(end_ - first_); }

  // Whether a byte can be added without losing one at or behind the offset `keep`.
  bool HasRoom(uint64_t keep);
  // Adds up to `most` bytes that `fd` gives, without losing one at or behind `keep`. Answers what read(2)
  // did; only to be called where there is room.
  ssize_t ReadFrom(int fd, uint64_t keep, size_t most);

  // A part of what is kept, in one or two pieces.
  struct Part {
    const uint8_t* data = nullptr;
    size_t size = 0;
    const uint8_t* more = nullptr;
    size_t more_size = 0;
  };
  // `from` is the offset of a byte that is kept, or the end.
  Part At(uint64_t from, size_t most) const;

  // Forgets the bytes, not their number.
  void Clear();

 private:
  static constexpr size_t kLeast = 4096;

  void Grow();
  size_t RoomBehind(uint64_t keep) const;

  RingBudget* budget_;
  std::unique_ptr<uint8_t[]> bytes_;
  size_t capacity_ = 0;
  uint64_t first_ = 0;
  uint64_t end_ = 0;
};

}  // namespace microvm::agent
