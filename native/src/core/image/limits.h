#pragma once

#include <atomic>
#include <cstdint>

#include "core/image/image_status.h"

namespace microvm::core::image {

// How much an image may be. Each number is the largest that is accepted.
struct ImageLimits {
  uint64_t layers = 128;
  // Of the flattened image: what the layers name, and the folders that nothing names but a path.
  uint64_t entries = 1'000'000;
  uint64_t path_bytes = 4095;
  uint64_t depth = 256;
  // Of the content of files, holes included: in all layers together, and of one file.
  uint64_t total_bytes = uint64_t{64} << 30;
  uint64_t file_bytes = uint64_t{32} << 30;
  // Of the value of one extended attribute, and of all names and values of one inode.
  uint64_t xattr_bytes = 64 << 10;
  uint64_t inode_xattr_bytes = 1 << 20;
  // Of the records in one PAX header.
  uint64_t pax_bytes = 4 << 20;
  // Of names, link targets and extended attributes in all layers: they are kept in memory.
  uint64_t metadata_bytes = uint64_t{256} << 20;
  // A layer may unpack to `ratio` times its packed size, and to `ratio_free_bytes` in any case.
  uint64_t ratio = 200;
  uint64_t ratio_free_bytes = uint64_t{64} << 20;
};

// What is left of the limits that hold for all layers together. Any thread.
class ImageBudget {
 public:
  explicit ImageBudget(const ImageLimits& limits) : limits_(limits) {}

  const ImageLimits& Limits() const { return limits_; }
  ImageStatus TakeEntry() { return Take(&entries_, 1, limits_.entries, "entries"); }
  // A piece of a sparse file takes memory as an entry does.
  ImageStatus TakeExtents(uint64_t count) {
    return Take(&extents_, count, limits_.entries, "pieces of data");
  }
  ImageStatus TakeBytes(uint64_t bytes) {
    return Take(&bytes_, bytes, limits_.total_bytes, "bytes of content");
  }
  ImageStatus TakeMetadata(uint64_t bytes) {
    return Take(&metadata_, bytes, limits_.metadata_bytes, "bytes of names and extended attributes");
  }

 private:
  static ImageStatus Take(std::atomic<uint64_t>* taken, uint64_t amount, uint64_t limit, const char* of_what);

  const ImageLimits limits_;
  std::atomic<uint64_t> entries_{0};
  std::atomic<uint64_t> extents_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> metadata_{0};
};

}  // namespace microvm::core::image
