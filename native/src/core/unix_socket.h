#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// Unix stream sockets at paths of any length, by a short name below a descriptor. The descriptors are
// non-blocking and close-on-exec.

// Whether the last name of a path may be a symbolic link. Not where somebody else may write to the folder: he
// could lead us to any socket of the host.
enum class LastLink { kFollow, kRefuse };
// ELOOP: a link that is refused; ENOTSOCK: another kind of file; ECONNREFUSED: nobody listens; EAGAIN: no
// more connections fit into the queue.
Result<UniqueFd> ConnectUnix(const std::string& path, LastLink last_link = LastLink::kFollow);

struct ListenOptions {
  unsigned mode = 0600;
  int backlog = 511;
  // Who owns the file; default: we.
  std::optional<uid_t> uid = {};
  std::optional<gid_t> gid = {};
};
// When the file can be seen by others it may not have its owner and mode yet, but nobody can connect before.
Result<UniqueFd> ListenUnix(const std::string& path, const ListenOptions& options);

struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};
// Two ends of one connection, which nobody else can reach.
Result<SocketPair> MakeSocketPair();

// Sends all of the data, the descriptors with its first byte; waits up to a second for room.
Status SendDescriptors(int socket, std::string_view data, const std::vector<int>& fds);

}  // namespace microvm::core
