#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/image/image_status.h"

namespace microvm::core::image {

constexpr size_t kTarBlock = 512;

// The content of an archive's entry takes whole blocks.
constexpr uint64_t PaddingOf(uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

// The fields of one header block, in any of the dialects: v7, ustar, star, GNU.
struct TarHeader {
  char type = '0';
  std::string path;
  std::string link;
  int64_t mode = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t size = 0;
  int64_t mtime = 0;
  int64_t major = 0;
  int64_t minor = 0;
  bool is_gnu = false;
};

// `block` has kTarBlock bytes and is not all zeros.
ImageStatus ParseTarHeader(std::string_view block, TarHeader* header);

}  // namespace microvm::core::image
