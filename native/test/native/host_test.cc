#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "check.h"
#include "core/host/host_findings.h"
#include "core/host/host_probe.h"

using namespace microvm::core;
using microvm::test::TemporaryFolder;

namespace {

// A host that lacks nothing.
HostFacts Perfect() {
  HostFacts facts;
  facts.cgroup.v2_mount = facts.cgroup.base = "/sys/fs/cgroup";
  facts.cgroup.controllers = {"cpuset", "cpu", "io", "memory", "pids"};
  facts.cgroup.has_kill = true;
  facts.namespaces = {{"network", 0}, {"mount", 0}};
  facts.memory.huge_pages = {{2u << 20, 10, 10}};
  PathFacts path;
  path.path = "/srv";
  path.file_system = "xfs";
  path.has_reflink = true;
  path.total_bytes = path.available_bytes = uint64_t{1} << 40;
  facts.paths = {path};
  return facts;
}

// The codes, each followed by a blank.
std::string Codes(const HostFacts& facts) {
  std::string codes;
  for (const HostFinding& finding : FindingsOf(facts)) {
    codes += std::string(finding.code) + " ";
    CHECK(!finding.message.empty() && !finding.remedy.empty() && strlen(finding.feature) > 0);
  }
  return codes;
}

template <typename Change>
std::string CodesWith(Change change) {
  HostFacts facts = Perfect();
  change(&facts);
  return Codes(facts);
}

}  // namespace

TEST(a_host_that_lacks_nothing_has_no_finding) { CHECK(Codes(Perfect()).empty()); }

TEST(cgroups) {
  CHECK(CodesWith([](HostFacts* f) { f->cgroup = {}; }) == "CGROUP_V2_MISSING ");
  CHECK(CodesWith([](HostFacts* f) { f->cgroup.base.clear(); }) == "CGROUP_NOT_WRITABLE ");
  CHECK(CodesWith([](HostFacts* f) { f->cgroup.has_kill = false; }) == "CGROUP_KILL_MISSING ");
  CHECK(CodesWith([](HostFacts* f) { f->cgroup.is_base_occupied = true; }) == "CGROUP_OCCUPIED ");
  HostFacts facts = Perfect();
  facts.cgroup.controllers = {"cpuset", "memory", "pids"};
  const auto findings = FindingsOf(facts);
  CHECK(findings.size() == 1 && findings[0].message.find("cpu, io") != std::string::npos);
  CHECK(findings[0].remedy.find("Delegate") != std::string::npos);
  facts.cgroup.has_v1 = true;
  CHECK(FindingsOf(facts)[0].remedy.find("unified_cgroup_hierarchy") != std::string::npos);
}

TEST(namespaces_and_network) {
  CHECK(CodesWith([](HostFacts* f) { f->namespaces[0].error = ENOENT; }) == "NAMESPACE_MISSING ");
  CHECK(CodesWith([](HostFacts* f) { f->namespaces[0].error = EPERM; }) == "NAMESPACE_REFUSED ");
  CHECK(CodesWith([](HostFacts* f) { f->nftables_error = EPROTONOSUPPORT; }) == "NFTABLES_MISSING ");
  CHECK(CodesWith([](HostFacts* f) { f->nftables_error = EPERM; }) == "NFTABLES_REFUSED ");
  CHECK(CodesWith([](HostFacts* f) { f->tun_error = ENOENT; }) == "TUN_MISSING ");
  CHECK(CodesWith([](HostFacts* f) { f->tun_error = EACCES; }) == "TUN_REFUSED ");
}

TEST(memory) {
  CHECK(CodesWith([](HostFacts* f) { f->userfaultfd.error = ENOSYS; }) == "USERFAULTFD_MISSING ");
  CHECK(CodesWith([](HostFacts* f) { f->userfaultfd.error = EPERM; }) == "USERFAULTFD_REFUSED ");
  CHECK(CodesWith([](HostFacts* f) { f->memory.huge_pages[0].total = 0; }) == "HUGE_PAGES_NONE ");
  CHECK(CodesWith([](HostFacts* f) { f->memory.huge_pages.clear(); }) == "HUGE_PAGES_NONE ");
  CHECK(CodesWith([](HostFacts* f) { f->memory.swap_total_bytes = 1; }) == "SWAP_ON ");
}

TEST(paths) {
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].error = ENOENT; }) == "PATH_UNUSABLE ");
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].write_error = EROFS; }) == "PATH_NOT_WRITABLE ");
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].has_reflink = false; }) == "PATH_NO_REFLINK ");
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].is_in_memory = true; }) == "PATH_IN_MEMORY ");
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].has_no_devices = true; }) == "PATH_MOUNT_OPTIONS ");
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].has_no_executables = true; }) == "PATH_MOUNT_OPTIONS ");
  CHECK(CodesWith([](HostFacts* f) { f->paths[0].available_bytes = 1 << 20; }) == "PATH_LITTLE_SPACE ");
}

TEST(a_look_at_the_host_leaves_this_process_as_it_was) {
  const TemporaryFolder folder;
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
  char before[64] = "";
  char after[64] = "";
  CHECK(readlink("/proc/self/ns/net", before, 63) > 0);
  auto facts = ProbeHost({folder.Path(), folder / "none"}, Cancellation());
  CHECK(facts.Ok());
  CHECK(readlink("/proc/self/ns/net", after, 63) > 0);
  CHECK(std::string(before) == after);
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  CHECK(rmdir(folder.Path().c_str()) == 0);
  CHECK(facts.Value().paths[0].error == 0 && facts.Value().paths[1].error == ENOENT);
  CHECK(!facts.Value().kernel.empty() && facts.Value().memory.total_bytes > 0);
}

TEST(a_cancelled_look_ends) {
  Cancellation cancellation;
  cancellation.Cancel();
  auto facts = ProbeHost({}, cancellation);
  CHECK(!facts.Ok() && facts.Error().number == ECANCELED);
}

RUN_TESTS()
