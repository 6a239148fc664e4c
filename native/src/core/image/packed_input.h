#pragma once

#include <cstddef>
#include <vector>

#include "core/image/byte_source.h"

namespace microvm::core::image {

// What a decompressor has read of the packed bytes and not yet taken. One thread.
class PackedInput {
 public:
  explicit PackedInput(ByteSource* packed) : packed_(packed), buffer_(kCapacity) {}

  // Makes sure that there is something, unless the packed bytes have ended.
  ImageStatus Fill() {
    if (size_ > 0 || has_ended_) return {};
    begin_ = 0;
    auto read = packed_->Read(buffer_.data(), buffer_.size(), &size_);
    has_ended_ = read.Ok() && size_ == 0;
    return read;
  }
  bool HasEnded() const { return has_ended_; }
  const char* Bytes() const { return buffer_.data() + begin_; }
  size_t Size() const { return size_; }
  void Take(size_t count) {
    begin_ += count;
    size_ -= count;
  }

 private:
  static constexpr size_t kCapacity = 128 << 10;

  ByteSource* packed_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t size_ = 0;
  bool has_ended_ = false;
};

}  // namespace microvm::core::image
