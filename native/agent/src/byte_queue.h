#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace microvm::agent {

// Bytes in at the end, out at the front. Its owner bounds its size.
class ByteQueue {
 public:
  size_t size() const { return bytes_.size() - head_; }
  bool empty() const { return size() == 0; }
  const uint8_t* data() const { return bytes_.data() + head_; }

  void Append(const void* data, size_t size) {
    if (size > 0) std::memcpy(Extend(size), data, size);
  }

  // Room for `size` bytes at the end, to be written by the caller at once; `Trim` gives back what was not needed.
  uint8_t* Extend(size_t size) {
    bytes_.resize(bytes_.size() + size);
    return bytes_.data() + bytes_.size() - size;
  }
  void Trim(size_t size) { bytes_.resize(bytes_.size() - size); }

  void Consume(size_t size) {
    head_ += size;
    if (head_ == bytes_.size()) {
      Clear();
    } else if (head_ > bytes_.size() / 2) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }

  void Clear() {
    head_ = 0;
    // An idle guest should not keep the room of its busiest moment.
    if (bytes_.capacity() > kKeep) {
      bytes_ = {};
    } else {
      bytes_.clear();
    }
  }

 private:
  static constexpr size_t kKeep = 512 * 1024;

  std::vector<uint8_t> bytes_;
  size_t head_ = 0;
};

}  // namespace microvm::agent
