#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/file_io.h"
#include "core/host/host_probe.h"
#include "core/network/netlink_message.h"
#include "core/network/netlink_reply.h"
#include "core/process_clone.h"
#include "core/process_wait.h"

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

namespace microvm::core {
namespace {

// USERFAULTFD_IOC_NEW of linux/userfaultfd.h, Linux 6.1.
constexpr unsigned long kUserfaultfdNew = _IO(0xAA, 0x00);

struct Attempt {
  int flag;
  int error;
};

// In a child that shares our memory: system calls only.
__attribute__((no_sanitize("address", "undefined", "thread"))) int Unshare(void* argument) {
  auto* attempt = static_cast<Attempt*>(argument);
  attempt->error = unshare(attempt->flag) == 0 ? 0 : errno;
  return 0;
}

int TryNamespace(const char* name, int flag) {
  if (access((std::string("/proc/self/ns/") + name).c_str(), F_OK) != 0) return ENOENT;
  Attempt attempt{flag, 0};
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const KeepDumpable keep_dumpable;
  CloneCgroup cgroup;
  auto child = CloneSharingMemory(Unshare, &attempt, &cgroup);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!child.Ok()) return child.Error().number;
  static_cast<void>(WaitForChild(child.Value().pidfd.Get()));
  return attempt.error;
}

int ErrorOfReply(int fd) {
  NetlinkReply reply(1, [](const NetlinkMessage&) { return true; });
  char buffer[4096];
  while (true) {
    const ssize_t got = RetryOnSignal([&] { return recv(fd, buffer, sizeof buffer, 0); });
    if (got < 0) return errno;
    const auto state = reply.Consume({buffer, static_cast<size_t>(got)});
    if (state == NetlinkReply::State::kMalformed) return EBADMSG;
    if (state == NetlinkReply::State::kEnded) return reply.ErrorNumber();
  }
}

}  // namespace

std::vector<NamespaceFact> ProbeNamespaces() {
  constexpr struct {
    const char* file;
    const char* name;
    int flag;
  } kKinds[] = {{"net", "network", CLONE_NEWNET},     {"mnt", "mount", CLONE_NEWNS},
                {"pid", "pid", CLONE_NEWPID},         {"user", "user", CLONE_NEWUSER},
                {"uts", "uts", CLONE_NEWUTS},         {"ipc", "ipc", CLONE_NEWIPC},
                {"cgroup", "cgroup", CLONE_NEWCGROUP}};
  std::vector<NamespaceFact> facts;
  for (const auto& kind : kKinds) facts.push_back({kind.name, TryNamespace(kind.file, kind.flag)});
  return facts;
}

// Asks nf_tables for the generation of its rules, which changes nothing.
int ProbeNftables() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd) return errno;
  const timeval patience{1, 0};
  setsockopt(fd.Get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  NetlinkRequest request((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, NLM_F_ACK);
  request.SetFixed(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, 0});
  const std::string_view message = request.Seal(1);
  const ssize_t sent = RetryOnSignal([&] { return send(fd.Get(), message.data(), message.size(), 0); });
  return sent < 0 ? errno : ErrorOfReply(fd.Get());
}

int ProbeTun() {
  auto tun = OpenFile("/dev/net/tun", O_RDWR);
  if (!tun.Ok()) return tun.Error().number;
  unsigned features = 0;
  if (ioctl(tun.Value().Get(), TUNGETFEATURES, &features) != 0) return errno;
  return (features & IFF_TAP) != 0 ? 0 : ENOTSUP;
}

UserfaultfdFacts ProbeUserfaultfd() {
  UserfaultfdFacts facts;
  UniqueFd fd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (!fd) facts.error = errno;
  facts.by_syscall = static_cast<bool>(fd);
  auto device = OpenFile("/dev/userfaultfd", O_RDWR);
  if (device.Ok()) {
    UniqueFd made(ioctl(device.Value().Get(), kUserfaultfdNew, O_CLOEXEC | O_NONBLOCK));
    facts.by_device = static_cast<bool>(made);
    if (!fd) fd = std::move(made);
  }
  if (!fd) return facts;
  uffdio_api api{};
  api.api = UFFD_API;
  facts.error = ioctl(fd.Get(), UFFDIO_API, &api) == 0 ? 0 : errno;
  facts.features = api.features;
  return facts;
}

}  // namespace microvm::core
