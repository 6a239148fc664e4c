#pragma once

#include <string>
#include <vector>

namespace microvm::agent {

struct Mount {
  std::string source;
  std::string target;
  std::string type;
};

// In the order in which they were mounted; empty where the table cannot be read.
std::vector<Mount> ReadMountTable(const char* path);

}  // namespace microvm::agent
