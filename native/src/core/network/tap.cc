#include "core/network/tap.h"

#include <fcntl.h>
// Before the kernel's headers, which then leave out what it has.
#include <net/if.h>
// clang-format keeps the two apart.
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "core/file_io.h"
#include "core/network/link.h"

namespace microvm::core {
namespace {

constexpr char kDevice[] = "/dev/net/tun";

Status Attach(int tun, const NetlinkSocket& socket, const TapPlan& plan) {
  ifreq request{};
  plan.link.name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  int flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL;
  if (plan.has_vnet_header) flags |= IFF_VNET_HDR;
  if (plan.is_multi_queue) flags |= IFF_MULTI_QUEUE;
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(tun, TUNSETIFF, &request) == 0) return {};
  // With IFF_TUN_EXCL that is what a taken name is; other links say EEXIST.
  return socket.ErrorOf(errno == EBUSY ? EEXIST : errno, {"TUNSETIFF", plan.link.name});
}

Status Set(int tun, unsigned long request, unsigned long value, const SysError& error) {
  if (ioctl(tun, request, value) == 0) return {};
  SysError failed = error;
  failed.number = errno;
  return failed;
}

Status SetOwner(int tun, const NetlinkSocket& socket, const TapPlan& plan) {
  if (plan.owner) {
    auto set = Set(tun, TUNSETOWNER, *plan.owner, socket.ErrorOf(0, {"TUNSETOWNER", plan.link.name}));
    if (!set.Ok()) return set;
  }
  if (!plan.group) return {};
  return Set(tun, TUNSETGROUP, *plan.group, socket.ErrorOf(0, {"TUNSETGROUP", plan.link.name}));
}

}  // namespace

Status CreateTap(NetlinkSocket* socket, const TapPlan& plan) {
  // Until it is persistent the device goes with the descriptor, so nothing needs undoing.
  auto tun = OpenFile(kDevice, O_RDWR | O_NONBLOCK);
  if (!tun.Ok()) return tun.Error();
  const int fd = tun.Value().Get();
  auto done = Attach(fd, *socket, plan);
  if (done.Ok()) done = SetOwner(fd, *socket, plan);
  if (done.Ok()) done = ChangeLink(socket, plan.link.name, plan.link.settings);
  if (done.Ok()) done = ApplyAddressing(socket, plan.link);
  if (!done.Ok()) return done;
  return Set(fd, TUNSETPERSIST, 1, socket->ErrorOf(0, {"TUNSETPERSIST", plan.link.name}));
}

}  // namespace microvm::core
