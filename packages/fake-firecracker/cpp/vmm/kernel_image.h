#pragma once

#include <string>

namespace microvm::fake {

// Empty, or why this is no kernel that can be loaded: an ELF file or a bzImage.
std::string CheckKernelImage(int fd);

}  // namespace microvm::fake
