#pragma once

#include <string>

#include "vmm/config.h"

namespace microvm::fake {

// The VMM's log: standard output, or a file that is opened without truncation, each line as the real one
// writes it.
class Logger {
 public:
  enum class Level { kOff, kError, kWarn, kInfo, kDebug, kTrace };

  explicit Logger(std::string vm_id) : vm_id_(std::move(vm_id)) {}

  // 0 or an errno: the file cannot be opened.
  int Configure(const LoggerConfig& config);
  void Log(Level level, const char* thread, const std::string& message);
  void Info(const char* thread, const std::string& message) { Log(Level::kInfo, thread, message); }
  void Error(const char* thread, const std::string& message) { Log(Level::kError, thread, message); }

 private:
  std::string vm_id_;
  int fd_ = 1;
  Level level_ = Level::kInfo;
  bool shows_level_ = false;
};

}  // namespace microvm::fake
