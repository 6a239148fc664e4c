#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "process/system.h"

namespace microvm::fake {

// The metrics file: a line of JSON at each flush, with all the fields of the real one; each figure counts
// since the last line. Most of them are of devices that the double does not have, and stay 0.
class Metrics {
 public:
  bool is_configured() const { return static_cast<bool>(fd_); }
  // 0 or an errno.
  int Open(const std::string& path);
  // Such as `put_api_requests.drive_count`.
  void Add(const std::string& name, uint64_t count = 1) { counts_[name] += count; }
  void Set(const std::string& name, uint64_t value) { counts_[name] = value; }
  // 0 or an errno. Devices have groups of their own: `block_<id>`, `net_<id>`.
  int Flush(const std::vector<std::string>& drives, const std::vector<std::string>& nics);

 private:
  UniqueFd fd_;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace microvm::fake
