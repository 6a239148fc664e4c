#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/handles.h"

namespace microvm::disk {

// What of the writes since the last flush a power cut leaves.
enum class Survival {
  kNone,     // nothing
  kAll,      // everything: a disk without a cache
  kWrites,   // a random half of the writes, each whole
  kSectors,  // a random half of the sectors of each write: torn writes
};

struct CutCounts {
  size_t writes = 0;
  size_t sectors = 0;
  size_t surviving_sectors = 0;
};

// The content of a disk with a volatile write cache: what is written can be read at once, and is on the disk
// after the next flush. All of it is in memory, above a base file that is never changed. For one thread.
class VolatileStore {
 public:
  // What is written whole or not at all, as by disks with physical sectors of this size. File systems count
  // on it for their blocks: ext4 cannot be mounted with a superblock of which half was written.
  static constexpr size_t kSectorBytes = 4096;

  // False: errno says why. The size of the base is a multiple of a page.
  bool Open(const char* base);

  size_t SizeBytes() const { return size_; }
  const std::byte* At(uint64_t offset) const { return seen_ + offset; }
  // Within the size.
  void Write(uint64_t offset, const std::byte* data, size_t size);
  void Flush();
  // The disk has no power any more: what is left is what the disk has. A sector that was written several
  // times has any of those contents, or the old one, as no order among them is promised.
  CutCounts Cut(Survival survival, uint64_t seed);

 private:
  struct Unflushed {
    uint64_t offset;
    std::vector<std::byte> data;
  };

  size_t size_ = 0;
  std::byte* seen_ = nullptr;
  std::byte* durable_ = nullptr;
  std::vector<Unflushed> unflushed_;
};

}  // namespace microvm::disk
