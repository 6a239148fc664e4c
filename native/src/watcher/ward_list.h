#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace microvm::watcher {

// What is to be reclaimed when the owner is gone: processes and their directories. One thread.
class WardList {
 public:
  // Takes the owner's bytes as they come. Only whole lines count: a last one without its end may be cut
  // anywhere.
  void Feed(std::string_view bytes);

  // Kills every process that is still the one it was, waits for the ends, removes the directories. False when
  // something is left; standard error says what.
  bool Reclaim();

  size_t IgnoredLines() const { return ignored_lines_; }
  size_t Size() const { return wards_.size(); }

 private:
  struct Ward {
    std::string start_time;
    std::vector<std::string> directories;
  };

  bool TakeLine(std::string_view line);

  std::map<pid_t, Ward> wards_;
  std::string partial_;
  bool is_overlong_ = false;
  size_t ignored_lines_ = 0;
};

}  // namespace microvm::watcher
