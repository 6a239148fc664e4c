#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "unique_fd.h"

namespace microvm::fake {

// As Rust prints an io::Error: `No such file or directory (os error 2)`.
std::string OsError(int error);
// All of it, also where the kernel takes less at a time; 0 or an errno.
int WriteAll(int fd, std::string_view bytes);
int PwriteAll(int fd, std::string_view bytes, uint64_t offset);
// The whole file; 0 or an errno.
int ReadFile(const char* path, std::string* content);

}  // namespace microvm::fake
