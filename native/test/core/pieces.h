#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/image/byte_source.h"

// Bytes in pieces of up to `piece`, as a file or a decompressor may yield them. The bytes are the caller's.
class Pieces final : public microvm::core::image::ByteSource {
 public:
  Pieces(std::string_view bytes, size_t piece) : bytes_(bytes), piece_(piece) {}
  microvm::core::image::ImageStatus Read(char* buffer, size_t capacity, size_t* got) override {
    *got = std::min({capacity, piece_, bytes_.size()});
    memcpy(buffer, bytes_.data(), *got);
    bytes_.remove_prefix(*got);
    return {};
  }

 private:
  std::string_view bytes_;
  size_t piece_;
};
