#include "core/host/host_probe.h"

#include <sys/utsname.h>

#include <functional>

namespace microvm::core {

Result<HostFacts> ProbeHost(const std::vector<std::string>& paths, const Cancellation& cancellation) {
  HostFacts facts;
  utsname name{};
  if (uname(&name) == 0) facts.kernel = name.release;
  std::vector<std::function<void()>> parts = {
      [&] { facts.cgroup = ProbeCgroups(); },          [&] { facts.namespaces = ProbeNamespaces(); },
      [&] { facts.nftables_error = ProbeNftables(); }, [&] { facts.tun_error = ProbeTun(); },
      [&] { facts.userfaultfd = ProbeUserfaultfd(); }, [&] { facts.memory = ProbeMemory(); },
  };
  for (const std::string& path : paths) {
    parts.push_back([&] { facts.paths.push_back(ProbePath(path)); });
  }
  for (const auto& part : parts) {
    if (cancellation.IsRequested()) return SysError{ECANCELED, "probe", {}};
    part();
  }
  return facts;
}

}  // namespace microvm::core
