#pragma once

#include <optional>
#include <string>
#include <vector>

namespace microvm::core {

struct KvmFinding {
  const char* code;
  std::string message;
  std::string remedy;
};

struct KvmStage {
  const char* name;
  bool passed = false;
  std::string detail;
};

struct KvmReport {
  bool usable = false;
  std::vector<KvmFinding> findings;
  std::optional<int> api_version;
  bool is_nested = false;
  std::vector<KvmStage> stages;
  double duration_ms = 0;
};

// Finds out whether KVM can run Linux. Takes at most five seconds, on a processor a few milliseconds. SIGALRM
// stays blocked on the calling thread. `device` is /dev/kvm, save in tests.
KvmReport ProbeKvm(const std::string& device);

}  // namespace microvm::core
