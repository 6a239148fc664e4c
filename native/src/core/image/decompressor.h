#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/image/byte_source.h"

namespace microvm::core::image {

enum class Compression { kNone, kGzip, kZstd, kXz };

// Unpacks what `packed` yields, to its very end: further members or frames are unpacked too, and bytes after
// them that are no compressed data are a fault, but for zeros after gzip, which tapes pad with. `packed` must
// outlive it. Memory is bounded whatever the data asks for. Null when there is no memory for it.
std::unique_ptr<ByteSource> MakeDecompressor(Compression compression, ByteSource* packed);

}  // namespace microvm::core::image
