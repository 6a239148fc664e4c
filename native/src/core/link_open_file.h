#pragma once

#include <string>

#include "core/result.h"

namespace microvm::core {

// Gives an open file, whatever its path names by now, a name in an open folder: a further one, or its first.
Status LinkOpenFile(int file, int folder, const std::string& name);

}  // namespace microvm::core
