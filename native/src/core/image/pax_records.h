#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/image/image_status.h"

namespace microvm::core::image {

// Keyword and value of one record; the value is bytes.
using PaxRecord = std::pair<std::string, std::string>;

// The records of a PAX header, in order: "<length> <keyword>=<value>\n", where the length counts all of it.
ImageStatus ParsePaxRecords(std::string_view bytes, std::vector<PaxRecord>* records);

// Adds one record to the bytes of a header.
void AppendPaxRecord(std::string_view keyword, std::string_view value, std::string* bytes);

}  // namespace microvm::core::image
