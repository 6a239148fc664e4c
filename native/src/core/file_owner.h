#pragma once

#include <sys/types.h>

#include <string>

#include "core/result.h"

namespace microvm::core {

// Gives an open file or folder an owner and permission bits. Changes only what differs, as each change costs
// the file system a transaction. `path` is only for the error.
Status SetOwnerAndMode(int fd, uid_t uid, gid_t gid, unsigned mode, const std::string& path);

}  // namespace microvm::core
