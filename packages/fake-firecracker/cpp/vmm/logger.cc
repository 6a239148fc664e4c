#include "vmm/logger.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace microvm::fake {
namespace {

constexpr const char* kNames[] = {"OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};

std::string Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char text[40];
  const size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text + size, sizeof(text) - size, ".%09ld", now.tv_nsec);
  return text;
}

}  // namespace

int Logger::Configure(const LoggerConfig& config) {
  if (config.log_path) {
    const int fd = open(config.log_path->c_str(), O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0) return errno;
    if (fd_ > 2) close(fd_);
    fd_ = fd;
  }
  for (int i = 0; config.level && i < 6; i++) {
    if (*config.level == kNames[i]) level_ = static_cast<Level>(i);
  }
  if (config.show_level) shows_level_ = *config.show_level;
  return 0;
}

void Logger::Log(Level level, const char* thread, const std::string& message) {
  if (level > level_) return;
  std::string line = Now() + " [" + vm_id_ + ":" + thread;
  if (shows_level_) line += std::string(":") + kNames[static_cast<int>(level)];
  line += "] " + message + "\n";
  // A reader that does not read loses lines, as with the real one; it never waits.
  [[maybe_unused]] const ssize_t written = write(fd_, line.data(), line.size());
}

}  // namespace microvm::fake
