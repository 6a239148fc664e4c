#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/cancellation.h"
#include "core/result.h"
#include "core/size_bounds.h"

namespace microvm::core {

using Sha256 = std::array<unsigned char, 32>;

struct FileDigest {
  uint64_t size_bytes = 0;
  Sha256 root{};  // of the digests of the chunks, one after the other
};

// A hole costs little, but not nothing, so a digest is of a file of this size at most unless the caller
// allows more.
constexpr uint64_t kMaxDigestedBytes = uint64_t{16} << 40;

struct DigestRequest {
  std::string path;
  uint64_t chunk_bytes = 0;  // at least 1
  // What is accepted of the file.
  SizeBounds size = {0, kMaxDigestedBytes};
};

// SHA-256 over the chunks of a regular file, by as many threads as there are processors. Holes are not read.
// The memory that it takes does not depend on the size of the file. Can take long: a thread of its own.
// Cancelled, it fails with ECANCELED.
Result<FileDigest> DigestFile(const DigestRequest& request, const Cancellation& cancellation);

}  // namespace microvm::core
