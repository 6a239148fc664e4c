#pragma once

#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/host/host_facts.h"
#include "core/result.h"

namespace microvm::core {

// Looks at the host: some twenty milliseconds, on a thread that may wait. Everything that it makes for that
// is gone when it returns.
Result<HostFacts> ProbeHost(const std::vector<std::string>& paths, const Cancellation& cancellation);

// Its parts.
CgroupFacts ProbeCgroups();
std::vector<NamespaceFact> ProbeNamespaces();
int ProbeNftables();
int ProbeTun();
UserfaultfdFacts ProbeUserfaultfd();
MemoryFacts ProbeMemory();
PathFacts ProbePath(const std::string& path);

}  // namespace microvm::core
