#pragma once

#include <string>

#include "core/result.h"

namespace microvm::core {

// Renames to a name that is free: EEXIST when it is not. On a file system that cannot promise it (such as
// NFS) the look and the rename are two steps.
Status RenameNew(int from_folder, const std::string& from, int to_folder, const std::string& to);

}  // namespace microvm::core
