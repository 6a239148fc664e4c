#pragma once

#include <string>
#include <string_view>

namespace microvm::fake {

void AppendUtf8(unsigned code, std::string* text);
bool IsUtf8(std::string_view text);

}  // namespace microvm::fake
