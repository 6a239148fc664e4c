#include "core/image/tar_number.h"

namespace microvm::core::image {
namespace {

std::optional<int64_t> ParseBinary(std::string_view field) {
  const bool is_negative = (static_cast<unsigned char>(field[0]) & 0x40) != 0;
  const unsigned char filler = is_negative ? 0xff : 0;
  uint64_t value = is_negative ? UINT64_MAX : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(field[i]);
    // The first byte's mark is no part of the number, and becomes a part of its sign.
    if (i == 0) byte = is_negative ? byte | 0x80 : byte & 0x7f;
    if (i + sizeof value < field.size() && byte != filler) return std::nullopt;
    value = value << 8 | byte;
  }
  const auto number = static_cast<int64_t>(value);
  if ((number < 0) != is_negative) return std::nullopt;
  return number;
}

}  // namespace

std::optional<int64_t> ParseTarNumber(std::string_view field) {
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80) != 0) return ParseBinary(field);
  constexpr std::string_view kBlanks(" \0", 2);
  const size_t begin = field.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return 0;
  // What stands behind a NUL is no part of the field.
  field = field.substr(begin, field.find('\0', begin) - begin);
  field = field.substr(0, field.find_last_not_of(' ') + 1);
  uint64_t value = 0;
  for (const char digit : field) {
    if (digit < '0' || digit > '7' || value >> 60 != 0) return std::nullopt;
    value = value << 3 | static_cast<uint64_t>(digit - '0');
  }
  return static_cast<int64_t>(value);
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    const auto amount = static_cast<uint64_t>(digit - '0');
    if (value > (UINT64_MAX - amount) / 10) return std::nullopt;
    value = value * 10 + amount;
  }
  return value;
}

std::optional<int64_t> ParsePaxTime(std::string_view text) {
  const bool is_negative = !text.empty() && text[0] == '-';
  if (is_negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  const auto seconds = ParseDecimal(text.substr(0, point));
  if (!seconds || *seconds > INT64_MAX - 1) return std::nullopt;
  const std::string_view fraction = point == std::string_view::npos ? "" : text.substr(point + 1);
  if (fraction.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const bool has_rest = fraction.find_first_not_of('0') != std::string_view::npos;
  const auto value = static_cast<int64_t>(*seconds);
  return is_negative ? -value - (has_rest ? 1 : 0) : value;
}

}  // namespace microvm::core::image
