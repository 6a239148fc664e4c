#include "core/image/tar_header.h"

#include <optional>

#include "core/image/tar_number.h"

namespace microvm::core::image {
namespace {

struct Field {
  size_t offset;
  size_t size;
  std::string_view Of(std::string_view block) const { return block.substr(offset, size); }
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kMtime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr size_t kType = 156;
constexpr Field kLink{157, 100};
constexpr Field kMagic{257, 8};
constexpr Field kMajor{329, 8};
constexpr Field kMinor{337, 8};
constexpr Field kPrefix{345, 155};
constexpr Field kStarPrefix{345, 131};
constexpr Field kStarTrailer{508, 4};

std::string_view Text(std::string_view field) { return field.substr(0, field.find('\0')); }

bool HasRightChecksum(std::string_view block) {
  const auto expected = ParseTarNumber(kChecksum.Of(block));
  int64_t sum = 0;
  int64_t signed_sum = 0;  // what some old programs wrote
  for (size_t i = 0; i < block.size(); ++i) {
    const bool is_own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    sum += is_own ? ' ' : static_cast<unsigned char>(block[i]);
    signed_sum += is_own ? ' ' : static_cast<signed char>(block[i]);
  }
  return expected && (*expected == sum || *expected == signed_sum);
}

bool ReadNumbers(std::string_view block, TarHeader* header) {
  const std::pair<Field, int64_t*> numbers[] = {
      {kMode, &header->mode}, {kUid, &header->uid},     {kGid, &header->gid},
      {kSize, &header->size}, {kMtime, &header->mtime},
  };
  for (const auto& [field, target] : numbers) {
    const auto number = ParseTarNumber(field.Of(block));
    if (!number) return false;
    *target = *number;
  }
  // Other entries have anything there.
  if (header->type != '3' && header->type != '4') return true;
  const auto major = ParseTarNumber(kMajor.Of(block));
  const auto minor = ParseTarNumber(kMinor.Of(block));
  if (!major || !minor) return false;
  header->major = *major;
  header->minor = *minor;
  return true;
}

}  // namespace

ImageStatus ParseTarHeader(std::string_view block, TarHeader* header) {
  if (!HasRightChecksum(block)) return ImageStatus::Invalid("a header of the archive has a wrong checksum");
  *header = {};
  header->type = block[kType];
  header->path = Text(kName.Of(block));
  header->link = Text(kLink.Of(block));
  header->is_gnu = kMagic.Of(block) == std::string_view("ustar  \0", 8);
  const bool is_posix = kMagic.Of(block).substr(0, 6) == std::string_view("ustar\0", 6);
  if (is_posix) {
    const bool is_star = kStarTrailer.Of(block) == std::string_view("tar\0", 4);
    const std::string_view prefix = Text((is_star ? kStarPrefix : kPrefix).Of(block));
    if (!prefix.empty()) header->path = std::string(prefix) + "/" + header->path;
  }
  if (!ReadNumbers(block, header)) {
    return std::move(ImageStatus::Invalid("a number in its header is no number")).WithEntry(header->path);
  }
  if (header->size < 0) {
    return std::move(ImageStatus::Invalid("its size is negative")).WithEntry(header->path);
  }
  return {};
}

}  // namespace microvm::core::image
