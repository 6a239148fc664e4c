#include "core/file_io.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace microvm::core {

SplitPath Split(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return {path.empty() ? "." : "/", ""};
  const size_t slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return {".", path.substr(0, end + 1)};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1, end - slash)};
}

Result<UniqueFd> OpenFile(const std::string& path, int flags, unsigned mode) {
  UniqueFd fd(RetryOnSignal([&] { return open(path.c_str(), flags | O_CLOEXEC, mode); }));
  if (!fd) return SysError::Last("open", path);
  return fd;
}

Result<UniqueFd> OpenDirectory(const std::string& path) { return OpenFile(path, O_RDONLY | O_DIRECTORY); }

Result<RegularFile> OpenRegularFile(const std::string& path, const SizeBounds& size, int flags) {
  RegularFile file;
  auto fd = OpenFile(path, O_RDONLY | O_NONBLOCK | flags);
  if (!fd.Ok()) return fd.Error();
  file.fd = std::move(fd.Value());
  if (fstat(file.fd.Get(), &file.status) != 0) return SysError::Last("fstat", path);
  if (S_ISDIR(file.status.st_mode)) return SysError{EISDIR, "open", path};
  if (!S_ISREG(file.status.st_mode)) return SysError{EINVAL, "open", path};
  auto accepted = size.Check(file.status, path);
  if (!accepted.Ok()) return accepted.Error();
  return file;
}

Result<std::string> ReadSmallFile(const std::string& path, size_t limit) {
  auto file = OpenFile(path, O_RDONLY);
  if (!file.Ok()) return file.Error();
  return ReadSmallFile(file.Value().Get(), path, limit);
}

Result<std::string> ReadSmallFile(int fd, const std::string& path, size_t limit) {
  std::string content;
  char chunk[4096];
  while (content.size() < limit) {
    const size_t want = std::min(sizeof chunk, limit - content.size());
    const auto offset = static_cast<off_t>(content.size());
    const ssize_t got = RetryOnSignal([&] { return pread(fd, chunk, want, offset); });
    if (got < 0) return SysError::Last("read", path);
    if (got == 0) break;
    content.append(chunk, static_cast<size_t>(got));
  }
  return content;
}

Status WriteAll(int fd, std::string_view data, const std::string& path) {
  while (!data.empty()) {
    const ssize_t wrote = RetryOnSignal([&] { return write(fd, data.data(), data.size()); });
    if (wrote < 0) return SysError::Last("write", path);
    data.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

std::string RandomHex16() {
  uint64_t bits = 0;
  if (getrandom(&bits, sizeof bits, 0) != sizeof bits) {
    // Only uniqueness is needed, and O_EXCL catches the rest.
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    bits = static_cast<uint64_t>(now.tv_nsec) * 0x9E3779B97F4A7C15u ^ static_cast<uint64_t>(getpid());
  }
  char text[17];
  snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(bits));
  return text;
}

}  // namespace microvm::core
