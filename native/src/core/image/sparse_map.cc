#include "core/image/sparse_map.h"

#include "core/image/tar_number.h"

namespace microvm::core::image {

ImageStatus NormaliseExtents(uint64_t size, uint64_t packed_bytes, std::vector<Extent>* extents) {
  std::vector<Extent> checked;
  uint64_t end = 0;
  uint64_t total = 0;
  for (const Extent& extent : *extents) {
    if (extent.offset < end || extent.offset > size || extent.length > size - extent.offset) {
      return ImageStatus::Invalid("the map of a sparse file is out of order or leads out of the file");
    }
    end = extent.offset + extent.length;
    total += extent.length;
    if (extent.length == 0) continue;
    // Not the end of the piece before: an empty one may lie between.
    if (!checked.empty() && extent.offset == checked.back().offset + checked.back().length) {
      checked.back().length += extent.length;
    } else {
      checked.push_back(extent);
    }
  }
  if (total != packed_bytes) {
    return ImageStatus::Invalid("the map of a sparse file does not fit the data that is stored");
  }
  extents->swap(checked);
  return {};
}

ImageStatus ParseSparseMap(std::string_view text, std::vector<Extent>* extents) {
  while (!text.empty()) {
    const size_t middle = text.find(',');
    if (middle == std::string_view::npos) return ImageStatus::Invalid("the map of a sparse file is cut off");
    const size_t end = text.find(',', middle + 1);
    const auto offset = ParseDecimal(text.substr(0, middle));
    const auto length = ParseDecimal(text.substr(middle + 1, end - middle - 1));
    if (!offset || !length) return ImageStatus::Invalid("the map of a sparse file has what is no number");
    extents->push_back({*offset, *length});
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return {};
}

}  // namespace microvm::core::image
