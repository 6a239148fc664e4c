#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/image/entry.h"
#include "core/image/image_status.h"

namespace microvm::core::image {

// Checks a map of the pieces of data of a sparse file of `size` bytes, of which `packed_bytes` are stored:
// in order, not overlapping, within the file, and just as many bytes as are stored. Leaves out empty pieces
// and joins those that touch.
ImageStatus NormaliseExtents(uint64_t size, uint64_t packed_bytes, std::vector<Extent>* extents);

// GNU.sparse.map: offset and length in turns, with commas between.
ImageStatus ParseSparseMap(std::string_view text, std::vector<Extent>* extents);

}  // namespace microvm::core::image
