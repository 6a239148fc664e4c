#include "volatile_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

namespace microvm::disk {

bool VolatileStore::Open(const char* base) {
  const UniqueFd fd(open(base, O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.Get(), &status) != 0) return false;
  constexpr int kPageBytes = 4096;
  if (status.st_size == 0 || status.st_size % kPageBytes != 0) {
    errno = EINVAL;
    return false;
  }
  size_ = static_cast<size_t>(status.st_size);
  // Private mappings: pages that were written are ours, all others are the base's. They live as long as the
  // process.
  const auto map = [&] {
    void* mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd.Get(), 0);
    return mapped == MAP_FAILED ? nullptr : static_cast<std::byte*>(mapped);
  };
  seen_ = map();
  durable_ = map();
  return seen_ != nullptr && durable_ != nullptr;
}

void VolatileStore::Write(uint64_t offset, const std::byte* data, size_t size) {
  std::memcpy(seen_ + offset, data, size);
  unflushed_.push_back({offset, std::vector<std::byte>(data, data + size)});
}

void VolatileStore::Flush() {
  for (const auto& write : unflushed_) {
    std::memcpy(durable_ + write.offset, write.data.data(), write.data.size());
  }
  unflushed_.clear();
}

CutCounts VolatileStore::Cut(Survival survival, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto toss = [&random] { return (random() & 1) != 0; };
  CutCounts counts;
  counts.writes = unflushed_.size();
  for (const auto& write : unflushed_) {
    const bool is_written = survival == Survival::kAll || (survival == Survival::kWrites && toss());
    size_t size = 0;
    for (size_t at = 0; at < write.data.size(); at += size) {
      size = std::min(kSectorBytes - (write.offset + at) % kSectorBytes, write.data.size() - at);
      counts.sectors += 1;
      if (!is_written && !(survival == Survival::kSectors && toss())) continue;
      std::memcpy(durable_ + write.offset + at, write.data.data() + at, size);
      counts.surviving_sectors += 1;
    }
  }
  // Only where something was written can the two differ.
  for (const auto& write : unflushed_) {
    std::memcpy(seen_ + write.offset, durable_ + write.offset, write.data.size());
  }
  unflushed_.clear();
  return counts;
}

}  // namespace microvm::disk
