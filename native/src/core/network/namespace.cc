#include "core/network/namespace.h"

#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <vector>

#include "core/file_io.h"
#include "core/network/link.h"
#include "core/network/link_watch.h"
#include "core/network/records.h"

namespace microvm::core {
namespace {

constexpr long kNsfsMagic = 0x6e736673;
// Mounts on top of each other come only from races; more than these are somebody else's doing.
constexpr int kMaxStackedMounts = 8;

std::string OwnNamespacePath() { return "/proc/self/task/" + std::to_string(gettid()) + "/ns/net"; }

bool IsNamespaceFile(int fd) {
  struct statfs info {};
  return fstatfs(fd, &info) == 0 && info.f_type == kNsfsMagic;
}

bool IsNetworkNamespace(int fd) { return IsNamespaceFile(fd) && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET; }

// True when something was taken away, so that another look is due.
Result<bool> TakeAway(int fd, const std::string& path) {
  if (IsNamespaceFile(fd)) {
    const bool is_ours = OpenNamespace("/proc/self/fd/" + std::to_string(fd)).Ok();
    if (!is_ours) return SysError{EINVAL, "umount2", path};
    // Detached: a thread of anyone just looking at it must not keep it mounted. EINVAL: unmounted meanwhile.
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL) return true;
    return SysError::Last("umount2", path);
  }
  struct stat status {};
  if (fstat(fd, &status) != 0) return SysError::Last("fstat", path);
  if (!S_ISREG(status.st_mode) || status.st_size != 0) return SysError{EINVAL, "umount2", path};
  // EBUSY: mounted meanwhile.
  if (unlink(path.c_str()) == 0 || errno == ENOENT || errno == EBUSY) return true;
  return SysError::Last("unlink", path);
}

Result<std::vector<LinkRecord>> LinksInto(NetlinkSocket* socket, int netns_id) {
  auto links = ListLinks(socket);
  if (!links.Ok()) return links;
  std::vector<LinkRecord> found;
  for (LinkRecord& link : links.Value()) {
    if (link.peer_netns_id == netns_id) found.push_back(std::move(link));
  }
  return found;
}

// The links of ours that will go with a namespace.
Result<std::vector<LinkRecord>> FindPeers(const std::string& path) {
  auto netns = OpenNamespace(path);
  if (!netns.Ok() && !IsNoNamespace(netns.Error())) return netns.Error();
  if (!netns.Ok()) return std::vector<LinkRecord>();
  auto socket = NetlinkSocket::Open();
  if (!socket.Ok()) return socket.Error();
  auto id = NamespaceId(&socket.Value(), netns.Value(), path);
  if (!id.Ok()) return id.Error();
  if (id.Value() == NETNSA_NSID_NOT_ASSIGNED) return std::vector<LinkRecord>();
  return LinksInto(&socket.Value(), id.Value());
}

}  // namespace

Result<UniqueFd> OpenNamespace(const std::string& path) {
  auto fd = OpenFile(path, O_RDONLY | O_NONBLOCK);
  if (fd.Ok() && !IsNetworkNamespace(fd.Value().Get())) return SysError{EINVAL, "setns", path};
  return fd;
}

Result<UniqueFd> OpenOwnNamespace() { return OpenFile(OwnNamespacePath(), O_RDONLY); }

Status EnterNamespace(const UniqueFd& netns, const std::string& path) {
  if (setns(netns.Get(), CLONE_NEWNET) != 0) return SysError::Last("setns", path);
  return {};
}

Result<NetlinkSocket> OpenSocketIn(const std::string& path) {
  if (path.empty()) return NetlinkSocket::Open();
  auto netns = OpenNamespace(path);
  if (!netns.Ok()) return netns.Error();
  auto entered = EnterNamespace(netns.Value(), path);
  if (!entered.Ok()) return entered.Error();
  return NetlinkSocket::Open(path);
}

Status CreateNamespace(const std::string& path) {
  auto file = OpenFile(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0);
  if (!file.Ok()) return file.Error();
  ScopeExit unlink_file([&] { unlink(path.c_str()); });
  if (unshare(CLONE_NEWNET) != 0) return SysError::Last("unshare", path);
  if (mount(OwnNamespacePath().c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return SysError::Last("mount", path);
  }
  unlink_file.Dismiss();
  return {};
}

Result<bool> NamespaceExists(const std::string& path) {
  auto fd = OpenFile(path, O_PATH | O_NOFOLLOW);
  if (!fd.Ok()) return fd.Error().number == ENOENT ? Result<bool>(false) : fd.Error();
  return IsNamespaceFile(fd.Value().Get()) && OpenNamespace(path).Ok();
}

Result<bool> ReleaseNamespace(const std::string& path) {
  bool was_there = false;
  for (int i = 0; i <= kMaxStackedMounts; ++i) {
    auto fd = OpenFile(path, O_PATH | O_NOFOLLOW);
    if (!fd.Ok()) return fd.Error().number == ENOENT ? Result<bool>(was_there) : fd.Error();
    auto taken = TakeAway(fd.Value().Get(), path);
    if (!taken.Ok()) return taken.Error();
    was_there = true;
  }
  return SysError{EBUSY, "umount2", path};
}

Result<int> NamespaceId(NetlinkSocket* socket, const UniqueFd& netns, const std::string& path) {
  NetlinkRequest request(RTM_GETNSID, NLM_F_ACK);
  request.SetFixed(rtgenmsg{});
  request.AddNumber(NETNSA_FD, static_cast<uint32_t>(netns.Get()));
  const NetlinkStep step{"RTM_GETNSID", path};
  std::optional<int> id;
  auto asked = socket->Exchange(&request, step, [&](const NetlinkMessage& message) {
    id = DecodeNamespaceId(message.payload);
    return id.has_value();
  });
  if (!asked.Ok()) return asked.Error();
  if (!id) return socket->ErrorOf(EBADMSG, step);
  return *id;
}

Result<bool> DeleteNamespace(const std::string& path, std::chrono::milliseconds limit,
                             const Cancellation& cancellation) {
  auto peers = FindPeers(path);
  if (!peers.Ok()) return peers.Error();
  auto released = ReleaseNamespace(path);
  if (!released.Ok() || peers.Value().empty()) return released;
  auto gone = WaitForLinksToGo(peers.Value(), {path, std::chrono::steady_clock::now() + limit}, cancellation);
  if (!gone.Ok()) return gone.Error();
  return released;
}

}  // namespace microvm::core
