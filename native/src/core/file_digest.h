#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/result.h"

namespace microvm::core {

using Sha256 = std::array<unsigned char, 32>;

struct FileDigest {
  uint64_t size_bytes = 0;
  std::vector<Sha256> chunks;
  Sha256 root{};  // of the digests of the chunks, one after the other
};

struct DigestRequest {
  std::string path;
  uint64_t chunk_bytes = 0;  // at least 1
};

// SHA-256 of each chunk of a regular file, by as many threads as there are processors. Holes are not read.
// Can take long: a thread of its own. Cancelled, it fails with ECANCELED.
Result<FileDigest> DigestFile(const DigestRequest& request, const Cancellation& cancellation);

}  // namespace microvm::core
