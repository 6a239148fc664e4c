#pragma once

#include <string>
#include <string_view>

namespace microvm::agent {

// The begin (64 KiB at most) of a file such as those of /proc; empty when it cannot be read.
std::string ReadSmallFile(const char* path);
// The same of an open file.
std::string ReadBegin(int fd);

// Both answer 0 or an errno. The second makes no file.
int WriteSmallFile(const char* path, std::string_view text);
int OverwriteSmallFile(const char* path, std::string_view text);

// A line to the console (standard error).
void Log(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace microvm::agent
