#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

namespace microvm::agent {

// Bytes in at the end, out at the front. Its owner bounds its size. Not a std::vector: that clears what it is
// about to be read into.
class ByteQueue {
 public:
  size_t size() const { return end_ - head_; }
  bool empty() const { return size() == 0; }
  const uint8_t* data() const { return bytes_.get() + head_; }

  void Append(const void* data, size_t size) {
    if (size > 0) std::memcpy(Extend(size), data, size);
  }

  // Room for `size` bytes at the end, to be written by the caller at once; `Trim` gives back what was not
  // needed.
  uint8_t* Extend(size_t size) {
    if (capacity_ - end_ < size) MakeRoom(size);
    end_ += size;
    return bytes_.get() + end_ - size;
  }
  void Trim(size_t size) { end_ -= size; }

  void Consume(size_t size) {
    head_ += size;
    if (empty()) Clear();
  }

  void Clear() {
    head_ = end_ = 0;
    // An idle guest should not keep the room of its busiest moment.
    if (capacity_ > kKeep) {
      bytes_.reset();
      capacity_ = 0;
    }
  }

 private:
  static constexpr size_t kKeep = 512 * 1024;

  void MakeRoom(size_t size) {
    const size_t used = this->size();
    if (capacity_ >= (used + size) * 2) {
      std::memmove(bytes_.get(), data(), used);
    } else {
      const size_t capacity = (used + size) * 2;
      std::unique_ptr<uint8_t[]> grown(new uint8_t[capacity]);
      if (used > 0) std::memcpy(grown.get(), data(), used);
      bytes_ = std::move(grown);
      capacity_ = capacity;
    }
    head_ = 0;
    end_ = used;
  }

  std::unique_ptr<uint8_t[]> bytes_;
  size_t capacity_ = 0;
  size_t head_ = 0;
  size_t end_ = 0;
};

}  // namespace microvm::agent
