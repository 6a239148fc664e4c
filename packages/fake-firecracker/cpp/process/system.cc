#include "process/system.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

namespace microvm::fake {

std::string OsError(int error) {
  return std::string(strerror(error)) + " (os error " + std::to_string(error) + ")";
}

int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return 0;
}

int PwriteAll(int fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t wrote = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(wrote));
    offset += static_cast<uint64_t>(wrote);
  }
  return 0;
}

int ReadFile(const char* path, std::string* content) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return errno;
  char chunk[65536];
  for (;;) {
    const ssize_t got = read(fd.Get(), chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    content->append(chunk, static_cast<size_t>(got));
  }
}

}  // namespace microvm::fake
