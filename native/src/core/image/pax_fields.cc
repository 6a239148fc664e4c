#include "core/image/pax_fields.h"

#include "core/image/sparse_map.h"
#include "core/image/tar_number.h"

namespace microvm::core::image {
namespace {

constexpr std::string_view kSchilyXattr = "SCHILY.xattr.";
constexpr std::string_view kLibarchiveXattr = "LIBARCHIVE.xattr.";
constexpr std::string_view kSparse = "GNU.sparse.";

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

ImageStatus NoNumber(const PaxRecord& record) {
  return ImageStatus::Invalid("the PAX record " + record.first + " is no number");
}

ImageStatus ReadNumber(const PaxRecord& record, std::optional<uint64_t>* number) {
  *number = ParseDecimal(record.second);
  return *number ? ImageStatus() : NoNumber(record);
}

ImageStatus ReadText(const PaxRecord& record, std::optional<std::string>* text) {
  if (record.second.find('\0') != std::string::npos) {
    return ImageStatus::Invalid("the PAX record " + record.first + " has a null byte");
  }
  *text = record.second;
  return {};
}

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// As in a URL: %41 is an A.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape =
        text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0;
    plain += is_escape ? static_cast<char>(HexDigit(text[i + 1]) << 4 | HexDigit(text[i + 2])) : text[i];
    if (is_escape) i += 2;
  }
  return plain;
}

int Base64Digit(char digit) {
  if (digit >= 'A' && digit <= 'Z') return digit - 'A';
  if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26;
  if (digit >= '0' && digit <= '9') return digit - '0' + 52;
  if (digit == '+' || digit == '-') return 62;
  if (digit == '/' || digit == '_') return 63;
  return -1;
}

// With or without the signs at its end that fill it up.
std::optional<std::string> DecodeBase64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char digit : text) {
    if (Base64Digit(digit) < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(Base64Digit(digit));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  if (count == 6) return std::nullopt;
  return bytes;
}

}  // namespace

ImageStatus PaxFields::Add(const PaxRecord& record, const ImageLimits& limits) {
  const auto& [keyword, value] = record;
  if (BeginsWith(keyword, kSchilyXattr)) return AddXattr(keyword.substr(kSchilyXattr.size()), value, limits);
  if (BeginsWith(keyword, kLibarchiveXattr)) return AddLibarchiveXattr(record, limits);
  if (BeginsWith(keyword, kSparse)) return AddSparse(record, limits);
  // An empty value takes back what was said before.
  if (value.empty()) {
    if (keyword == "path") path.reset();
    if (keyword == "linkpath") link.reset();
    if (keyword == "size") size.reset();
    if (keyword == "uid") uid.reset();
    if (keyword == "gid") gid.reset();
    if (keyword == "mtime") mtime.reset();
    return {};
  }
  if (keyword == "path") return ReadText(record, &path);
  if (keyword == "linkpath") return ReadText(record, &link);
  if (keyword == "size") return ReadNumber(record, &size);
  if (keyword == "uid") return ReadNumber(record, &uid);
  if (keyword == "gid") return ReadNumber(record, &gid);
  if (keyword == "mtime") {
    mtime = ParsePaxTime(value);
    if (!mtime) return NoNumber(record);
  }
  return {};
}

ImageStatus PaxFields::AddXattr(const std::string& name, std::string value, const ImageLimits& limits) {
  constexpr size_t kMaxName = 255;  // XATTR_NAME_MAX
  if (name.empty() || name.size() > kMaxName) {
    return ImageStatus::Invalid("the name of an extended attribute has not 1 to 255 bytes");
  }
  if (value.size() > limits.xattr_bytes) {
    return ImageStatus::Invalid("the extended attribute " + name + " has more than " +
                                std::to_string(limits.xattr_bytes) + " bytes");
  }
  const auto [place, is_new] = xattrs.try_emplace(name);
  xattr_bytes_ += (is_new ? name.size() : 0) + value.size() - place->second.size();
  place->second = std::move(value);
  if (xattr_bytes_ <= limits.inode_xattr_bytes) return {};
  return ImageStatus::Invalid("its extended attributes have more than " +
                              std::to_string(limits.inode_xattr_bytes) + " bytes");
}

ImageStatus PaxFields::AddLibarchiveXattr(const PaxRecord& record, const ImageLimits& limits) {
  const std::string name = Unescape(std::string_view(record.first).substr(kLibarchiveXattr.size()));
  if (name.find('\0') != std::string::npos) {
    return ImageStatus::Invalid("the name of an extended attribute has a null byte");
  }
  auto value = DecodeBase64(record.second);
  if (!value) return ImageStatus::Invalid("the extended attribute " + name + " is no base64");
  return AddXattr(name, std::move(*value), limits);
}

ImageStatus PaxFields::AddSparse(const PaxRecord& record, const ImageLimits& limits) {
  const std::string keyword = record.first.substr(kSparse.size());
  if (keyword == "major") return ReadNumber(record, &sparse.major);
  if (keyword == "minor") return ReadNumber(record, &sparse.minor);
  if (keyword == "size" || keyword == "realsize") return ReadNumber(record, &sparse.real_size);
  if (keyword == "name") return ReadText(record, &sparse.name);
  if (keyword == "offset" || keyword == "numbytes" || keyword == "map") return AddToMap(record, limits);
  return {};
}

ImageStatus PaxFields::AddToMap(const PaxRecord& record, const ImageLimits& limits) {
  sparse.has_map = true;
  if (record.first == "GNU.sparse.map") {
    sparse.map.clear();
    return ParseSparseMap(record.second, &sparse.map);
  }
  std::optional<uint64_t> number;
  auto read = ReadNumber(record, &number);
  if (!read.Ok()) return read;
  const bool is_offset = record.first == "GNU.sparse.offset";
  if (is_offset == sparse.open_offset.has_value()) {
    return ImageStatus::Invalid("the map of a sparse file has no offset and length in turns");
  }
  if (is_offset) {
    sparse.open_offset = number;
  } else {
    sparse.map.push_back({*sparse.open_offset, *number});
    sparse.open_offset.reset();
  }
  if (sparse.map.size() <= limits.entries) return {};
  return ImageStatus::Invalid("the map of a sparse file has more than " + std::to_string(limits.entries) +
                              " pieces");
}

}  // namespace microvm::core::image
