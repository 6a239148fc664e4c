#pragma once

#include <cstddef>

#include "core/image/image_status.h"

namespace microvm::core::image {

// Bytes that come one after the other. One thread.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Some of the next bytes; *got is 0 only at the end.
  virtual ImageStatus Read(char* buffer, size_t capacity, size_t* got) = 0;
};

}  // namespace microvm::core::image
