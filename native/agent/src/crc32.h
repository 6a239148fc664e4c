#pragma once

#include <cstddef>
#include <cstdint>

namespace microvm::agent {

// CRC-32 (IEEE 802.3) as zlib's crc32(): pass the earlier result to go on, 0 to begin.
uint32_t Crc32(uint32_t crc, const uint8_t* data, size_t size);

}  // namespace microvm::agent
