#include "proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "unique_fd.h"

namespace microvm::agent {
namespace {

int WriteOpened(const UniqueFd& fd, std::string_view text) {
  if (!fd) return errno;
  const ssize_t wrote = write(fd.Get(), text.data(), text.size());
  if (wrote < 0) return errno;
  return static_cast<size_t>(wrote) == text.size() ? 0 : EIO;
}

}  // namespace

std::string ReadSmallFile(const char* path) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  return fd ? ReadBegin(fd.Get()) : std::string();
}

std::string ReadBegin(int fd) {
  std::string text(65536, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

int WriteSmallFile(const char* path, std::string_view text) {
  return WriteOpened(UniqueFd(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)), text);
}

int OverwriteSmallFile(const char* path, std::string_view text) {
  return WriteOpened(UniqueFd(open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)), text);
}

void Log(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof(line) - 1, format, arguments);
  va_end(arguments);
  if (size < 0) return;
  if (size > static_cast<int>(sizeof(line)) - 2) size = sizeof(line) - 2;
  line[size] = '\n';
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, static_cast<size_t>(size) + 1);
}

}  // namespace microvm::agent
