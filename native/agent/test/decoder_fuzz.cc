#include <cstdint>
#include <string>

#include "decode_all.h"

// Both what comes in one piece and what comes byte by byte must be read alike.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using microvm::agent::Decoder;
  using microvm::agent::kPreamble;
  const std::string bytes = std::string(kPreamble.begin(), kPreamble.end()) + std::string(data, data + size);
  Decoder whole;
  Decoder bit_by_bit;
  microvm::agent::DecodeAll(&whole, bytes, [] { return size_t{1} << 20; });
  microvm::agent::DecodeAll(&bit_by_bit, bytes, [] { return size_t{1}; });
  return 0;
}
