#include "core/host/host_findings.h"

#include <algorithm>
#include <cerrno>

#include "core/errno_name.h"

namespace microvm::core {
namespace {

constexpr uint64_t kLittleSpace = uint64_t{1} << 30;
constexpr char kUnified[] =
    "boot the host with pure cgroup v2: add systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all) to the "
    "kernel's "
    "arguments";
constexpr char kDelegate[] =
    "run as root, or have systemd delegate a cgroup: Delegate=yes in the service, or systemd-run --user "
    "--scope -p "
    "Delegate=yes";
constexpr char kPrivilege[] = "run as root or with the capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN";

bool Has(const std::vector<std::string>& list, const char* word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool IsForbidden(int error) { return error == EPERM || error == EACCES; }

class Findings {
 public:
  void Add(const char* code, const char* feature, std::string message, std::string remedy) {
    list_.push_back({code, feature, std::move(message), std::move(remedy)});
  }
  std::vector<HostFinding> Take() { return std::move(list_); }

 private:
  std::vector<HostFinding> list_;
};

void AddLimits(const CgroupFacts& cgroup, Findings* findings) {
  std::string missing;
  for (const char* name : {"cpu", "memory", "pids", "io"}) {
    if (!Has(cgroup.controllers, name)) missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  if (cgroup.is_base_occupied) {
    findings->Add(
        "CGROUP_OCCUPIED", "limits",
        "cgroup " + cgroup.base + " has processes of its own, so cgroups below it can have no limits",
        "move the processes of this service to a cgroup below the delegated one first");
  } else if (!missing.empty()) {
    findings->Add("CGROUP_CONTROLLER_MISSING", "limits",
                  "cgroup " + cgroup.base + " has no controller for: " + missing,
                  cgroup.has_v1 ? kUnified : kDelegate);
  }
}

void AddCgroups(const CgroupFacts& cgroup, Findings* findings) {
  if (cgroup.v2_mount.empty()) {
    findings->Add("CGROUP_V2_MISSING", "jail", "cgroup v2 is not mounted",
                  cgroup.has_v1 ? kUnified : "mount it: mount -t cgroup2 none /sys/fs/cgroup");
    return;
  }
  if (cgroup.base.empty()) {
    findings->Add("CGROUP_NOT_WRITABLE", "jail",
                  "no cgroup can be made in " + cgroup.v2_mount + ": " + ErrnoName(cgroup.base_error),
                  kDelegate);
    return;
  }
  if (!cgroup.has_kill) {
    findings->Add("CGROUP_KILL_MISSING", "jail",
                  "cgroups have no cgroup.kill: processes are killed one by one", "use Linux 5.14 or newer");
  }
  AddLimits(cgroup, findings);
}

void AddNamespaces(const std::vector<NamespaceFact>& namespaces, Findings* findings) {
  for (const NamespaceFact& fact : namespaces) {
    if (fact.error == 0) continue;
    const std::string what = std::string(fact.name) + " namespace";
    const char* feature = std::string(fact.name) == "network" ? "network" : "jail";
    if (fact.error == ENOENT) {
      findings->Add("NAMESPACE_MISSING", feature, "the kernel has no " + what,
                    "use a kernel that is built with namespaces");
    } else {
      findings->Add("NAMESPACE_REFUSED", feature, "no " + what + " can be made: " + ErrnoName(fact.error),
                    fact.error == ENOSPC ? "raise the limit in /proc/sys/user" : kPrivilege);
    }
  }
}

void AddNetwork(const HostFacts& facts, Findings* findings) {
  const std::string nftables = ErrnoName(facts.nftables_error);
  if (IsForbidden(facts.nftables_error)) {
    findings->Add("NFTABLES_REFUSED", "firewall", "nf_tables answers " + nftables, kPrivilege);
  } else if (facts.nftables_error != 0) {
    findings->Add("NFTABLES_MISSING", "firewall", "the kernel does not answer for nf_tables: " + nftables,
                  "load it: modprobe nf_tables");
  }
  const std::string tun = "/dev/net/tun: " + ErrnoName(facts.tun_error);
  if (IsForbidden(facts.tun_error)) {
    findings->Add("TUN_REFUSED", "network", tun, "chmod 0666 /dev/net/tun, or run as root");
  } else if (facts.tun_error != 0) {
    findings->Add("TUN_MISSING", "network", tun,
                  "modprobe tun; in a container also mknod /dev/net/tun c 10 200 and allow the device");
  }
}

void AddMemory(const HostFacts& facts, Findings* findings) {
  const int error = facts.userfaultfd.error;
  if (IsForbidden(error)) {
    findings->Add(
        "USERFAULTFD_REFUSED", "memory-backend",
        std::string("faults in the kernel cannot be handled: ") + ErrnoName(error),
        "sysctl vm.unprivileged_userfaultfd=1, or give the user access to /dev/userfaultfd (Linux 6.1)");
  } else if (error != 0) {
    findings->Add("USERFAULTFD_MISSING", "memory-backend",
                  std::string("the kernel has no userfaultfd: ") + ErrnoName(error),
                  "use a kernel with CONFIG_USERFAULTFD");
  }
  const auto& sizes = facts.memory.huge_pages;
  if (std::none_of(sizes.begin(), sizes.end(), [](const HugePageFacts& size) { return size.total > 0; })) {
    findings->Add("HUGE_PAGES_NONE", "huge-pages", "no huge page is set aside",
                  "sysctl vm.nr_hugepages=512 sets 1 GiB aside, best at boot");
  }
  if (facts.memory.swap_total_bytes > 0) {
    findings->Add("SWAP_ON", "snapshots",
                  "swap is on: a diff snapshot without dirty tracking misses pages that are swapped out",
                  "swapoff -a, or have dirty pages tracked");
  }
}

void AddPath(const PathFacts& path, Findings* findings) {
  const std::string where = path.path + ": ";
  if (path.error != 0) {
    findings->Add("PATH_UNUSABLE", "state", where + ErrnoName(path.error),
                  "make the folder, or choose another");
    return;
  }
  if (path.write_error != 0) {
    const bool is_full = path.write_error == ENOSPC || path.write_error == EDQUOT;
    findings->Add(
        "PATH_NOT_WRITABLE", "state", where + "no file can be made: " + ErrnoName(path.write_error),
        is_full ? "free space there" : "give this user the right to write there, or choose another folder");
  } else if (!path.has_reflink) {
    findings->Add("PATH_NO_REFLINK", "copies",
                  where + path.file_system + " has no reflinks: data is copied instead",
                  "use XFS (mkfs.xfs -m reflink=1) or btrfs");
  }
  if (path.is_in_memory) {
    findings->Add(
        "PATH_IN_MEMORY", "snapshots",
        where + path.file_system + " is memory: a memory snapshot there counts against the VM's limit",
        "use a folder on a disk");
  }
  if (path.has_no_devices || path.has_no_executables) {
    findings->Add("PATH_MOUNT_OPTIONS", "jail",
                  where + "mounted with " + (path.has_no_devices ? "nodev" : "noexec") +
                      ": a VMM in a chroot there cannot start",
                  "mount -o remount,dev,exec, or choose another folder");
  }
  if (path.total_bytes > 0 && path.available_bytes < kLittleSpace) {
    findings->Add("PATH_LITTLE_SPACE", "state",
                  where + std::to_string(path.available_bytes >> 20) + " MiB are left", "free space there");
  }
}

}  // namespace

std::vector<HostFinding> FindingsOf(const HostFacts& facts) {
  Findings findings;
  AddCgroups(facts.cgroup, &findings);
  AddNamespaces(facts.namespaces, &findings);
  AddNetwork(facts, &findings);
  AddMemory(facts, &findings);
  for (const PathFacts& path : facts.paths) AddPath(path, &findings);
  return findings.Take();
}

}  // namespace microvm::core
