#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace microvm::core {

// A control file and what is written to it: memory.max, 134217728.
struct CgroupSetting {
  std::string file;
  std::string value;
};

// Makes a cgroup v2 with its settings, or nothing. The missing cgroups above it are made too and stay, and in
// all of them the controllers that the settings need are switched on. EEXIST when it exists; ENOTSUP when a
// controller is not there: the error's object is its name and its path the cgroup that lacks it. A setting of
// memory.swap.* is left out where the kernel has no such file, since it does not account for swap then.
Status CreateCgroup(const std::string& path, const std::vector<CgroupSetting>& settings);

}  // namespace microvm::core
