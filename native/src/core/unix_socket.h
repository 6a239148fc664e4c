#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// Unix stream sockets at paths of any length, by a short name below a descriptor of the folder. The
// descriptors are non-blocking and close-on-exec.
Result<UniqueFd> ConnectUnix(const std::string& path);
Result<UniqueFd> ListenUnix(const std::string& path, unsigned mode, int backlog);

// Sends all of the data, the descriptors with its first byte; waits up to a second for room.
Status SendDescriptors(int socket, std::string_view data, const std::vector<int>& fds);

}  // namespace microvm::core
