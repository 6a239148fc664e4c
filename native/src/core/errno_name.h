#pragma once

#include <string>

namespace microvm::core {

// "ENOENT" for ENOENT, as Node names it; "ERRNO_<n>" for a number without a name.
std::string ErrnoName(int number);

// "no such file or directory"
std::string ErrnoText(int number);

}  // namespace microvm::core
