#pragma once

#include <cstdint>
#include <string>

#include "core/image/byte_source.h"
#include "core/image/sha256_stream.h"

namespace microvm::core::image {

// Passes bytes on, counts and digests them. More than `limit` of them are a fault.
class DigestingSource final : public ByteSource {
 public:
  DigestingSource(ByteSource* source, uint64_t limit) : source_(source), limit_(limit) {}

  ImageStatus Read(char* buffer, size_t capacity, size_t* got) override {
    auto read = source_->Read(buffer, capacity, got);
    if (!read.Ok()) return read;
    count_ += *got;
    if (count_ > limit_) {
      return ImageStatus::Invalid("it unpacks to more than " + std::to_string(limit_) + " bytes");
    }
    digest_.Add(buffer, *got);
    return {};
  }
  uint64_t Count() const { return count_; }
  // Nothing can be read after it.
  std::string Digest() { return digest_.Finish(); }

 private:
  ByteSource* source_;
  const uint64_t limit_;
  uint64_t count_ = 0;
  Sha256Stream digest_;
};

}  // namespace microvm::core::image
