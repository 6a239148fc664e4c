#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vmm/config.h"

namespace microvm::fake {

// Faults and delays that a test asks for, as a JSON list of rules in `<program>.faults.json` beside the
// program.
struct FaultRule {
  std::string
      on;  // `release`, `start`, `guest-up`, `request`, or a method and a path such as `PUT /snapshot/create`
  std::string act;     // see kActs in faults.cc
  uint64_t skip = 0;   // how many times it passes first
  uint64_t times = 1;  // how many times it happens then; 0: always
  uint64_t ms = 0;
  uint64_t code = 1;
  uint64_t signal = 11;
  uint64_t status = 400;
  uint64_t bytes = 1 << 20;
  std::string path;  // of a file, as the VMM sees it
  std::string message;
  uint64_t seen = 0;
};

class Faults {
 public:
  // False: it is no list of rules; `problem` says why.
  bool Read(const std::string& json, std::string* problem);
  // The rule that applies to this occurrence, if any. `path` for requests.
  std::optional<FaultRule> Next(const std::string& occurrence);

 private:
  std::vector<FaultRule> rules_;
};

}  // namespace microvm::fake
