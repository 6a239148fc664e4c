#include "core/image/pax_records.h"

#include "core/image/tar_number.h"

namespace microvm::core::image {

ImageStatus ParsePaxRecords(std::string_view bytes, std::vector<PaxRecord>* records) {
  while (!bytes.empty()) {
    const size_t blank = bytes.find(' ');
    const auto length = ParseDecimal(bytes.substr(0, blank));
    if (blank == std::string_view::npos || !length) {
      return ImageStatus::Invalid("a PAX record does not begin with its length");
    }
    if (*length > bytes.size() || *length < blank + 2) {
      return ImageStatus::Invalid("a PAX record is longer or shorter than it says");
    }
    const std::string_view record = bytes.substr(blank + 1, static_cast<size_t>(*length) - blank - 1);
    const size_t equals = record.find('=');
    if (record.back() != '\n' || equals == std::string_view::npos || equals == 0) {
      return ImageStatus::Invalid("a PAX record is no keyword with a value");
    }
    const std::string_view keyword = record.substr(0, equals);
    if (keyword.find('\0') != std::string_view::npos) {
      return ImageStatus::Invalid("the keyword of a PAX record has a null byte");
    }
    records->emplace_back(keyword, record.substr(equals + 1, record.size() - equals - 2));
    bytes.remove_prefix(static_cast<size_t>(*length));
  }
  return {};
}

void AppendPaxRecord(std::string_view keyword, std::string_view value, std::string* bytes) {
  const size_t rest = keyword.size() + value.size() + 3;
  size_t length = rest + 1;
  // The length counts its own digits.
  while (rest + std::to_string(length).size() != length) length = rest + std::to_string(length).size();
  bytes->append(std::to_string(length)).append(" ").append(keyword).append("=").append(value).append("\n");
}

}  // namespace microvm::core::image
