#pragma once

#include <string>
#include <vector>

#include "core/host/host_facts.h"

namespace microvm::core {

// Something that a feature needs and this host has not, or not well.
struct HostFinding {
  const char* code;
  // What does without it or does it worse.
  const char* feature;
  std::string message;
  std::string remedy;
};

std::vector<HostFinding> FindingsOf(const HostFacts& facts);

}  // namespace microvm::core
