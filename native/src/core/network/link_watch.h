#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/network/netlink_socket.h"
#include "core/network/records.h"
#include "core/result.h"

namespace microvm::core {

// Links of the namespace of the calling thread, and how the kernel's events tell that they go.

struct LinkWait {
  // The namespace that frees the links, for errors.
  std::string netns;
  std::chrono::steady_clock::time_point deadline;
};

// Waits until none of these links is there any more. ETIMEDOUT names one that still is.
Status WaitForLinksToGo(const std::vector<LinkRecord>& links, const LinkWait& wait,
                        const Cancellation& cancellation);

// Deletes a link and returns as soon as it is gone: no list has it, its name and addresses are free. A thread
// of its own stays with the kernel, which then waits for all its readers for some 20 ms more. False when
// there was none.
Result<bool> RemoveLink(const LinkRecord& link);
// The socket must be one of the namespace of the calling thread.
Result<bool> RemoveLink(NetlinkSocket* socket, const std::string& name);

}  // namespace microvm::core
