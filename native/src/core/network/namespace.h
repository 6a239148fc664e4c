#pragma once

#include <chrono>
#include <string>

#include "core/cancellation.h"
#include "core/handles.h"
#include "core/network/netlink_socket.h"
#include "core/result.h"

namespace microvm::core {

// Network namespaces that a bind mount keeps. Entering one is for the calling thread and for good, so it is
// for threads that end soon, never for one of a pool.

// The namespace at a path (a kept one, or /proc/<pid>/ns/net). EINVAL when it is something else.
Result<UniqueFd> OpenNamespace(const std::string& path);
// Whether that failed because there is nothing, or something else, at the path: nothing can have links into
// it, and ReleaseNamespace says what it is.
inline bool IsNoNamespace(const SysError& error) {
  return error.number == ENOENT || error.number == EINVAL || error.number == ENXIO;
}
// The one in which the calling thread is.
Result<UniqueFd> OpenOwnNamespace();
Status EnterNamespace(const UniqueFd& netns, const std::string& path);

// Enters the namespace, unless `path` is empty, and opens a socket in it.
Result<NetlinkSocket> OpenSocketIn(const std::string& path);

// Makes a namespace, enters it and mounts it at the path, where nothing may be (EEXIST).
Status CreateNamespace(const std::string& path);

// False also for what a crash left: a file without a namespace.
Result<bool> NamespaceExists(const std::string& path);

// Lets go of a kept namespace: the mount and its file. The kernel frees it, later, unless a process is in it.
// False when there was neither. EINVAL for any other file.
Result<bool> ReleaseNamespace(const std::string& path);

// The number of another namespace in that of the socket; -1 for none, and then no link there has its peer in
// it.
Result<int> NamespaceId(NetlinkSocket* socket, const UniqueFd& netns, const std::string& path);

// The same, and waits until the links in our own namespace whose peers were in it are gone. ETIMEDOUT names
// one that is still there (a process keeps the namespace alive); the mount is gone even so.
Result<bool> DeleteNamespace(const std::string& path, std::chrono::milliseconds limit,
                             const Cancellation& cancellation);

}  // namespace microvm::core
