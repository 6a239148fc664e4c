#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace microvm::core::image {

// A number in a header of a tar: octal digits between blanks or NULs, or GNU's binary form, whose first byte
// has its highest bit set. A field of blanks is 0. Empty when it is neither, or does not fit.
std::optional<int64_t> ParseTarNumber(std::string_view field);

// Decimal digits alone, at least one; empty when there is anything else or it does not fit.
std::optional<uint64_t> ParseDecimal(std::string_view text);

// A time of PAX: seconds with a sign and a fraction, rounded down to whole ones.
std::optional<int64_t> ParsePaxTime(std::string_view text);

}  // namespace microvm::core::image
