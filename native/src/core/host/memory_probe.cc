#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "core/file_io.h"
#include "core/host/host_probe.h"

namespace microvm::core {
namespace {

constexpr char kHugePages[] = "/sys/kernel/mm/hugepages";
constexpr size_t kMaxText = 1 << 16;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

// "SwapTotal:       123 kB", in bytes.
uint64_t BytesOf(const std::string& meminfo, const std::string& name) {
  const size_t at = meminfo.find("\n" + name + ":");
  if (at == std::string::npos) return 0;
  return strtoull(meminfo.c_str() + at + name.size() + 2, nullptr, 10) * 1024;
}

uint64_t ReadNumber(const std::string& path) {
  auto text = ReadSmallFile(path, kMaxText);
  return text.Ok() ? strtoull(text.Value().c_str(), nullptr, 10) : 0;
}

std::vector<HugePageFacts> ReadHugePages() {
  std::vector<HugePageFacts> sizes;
  const std::unique_ptr<DIR, DirectoryCloser> folder(opendir(kHugePages));
  if (!folder) return sizes;
  const std::string prefix = "hugepages-";
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name.rfind(prefix, 0) != 0) continue;
    const std::string path = std::string(kHugePages) + "/" + name;
    const uint64_t kib = strtoull(name.c_str() + prefix.size(), nullptr, 10);
    sizes.push_back({kib * 1024, ReadNumber(path + "/nr_hugepages"), ReadNumber(path + "/free_hugepages")});
  }
  std::sort(sizes.begin(), sizes.end(),
            [](const HugePageFacts& a, const HugePageFacts& b) { return a.page_bytes < b.page_bytes; });
  return sizes;
}

}  // namespace

MemoryFacts ProbeMemory() {
  MemoryFacts facts;
  auto meminfo = ReadSmallFile("/proc/meminfo", kMaxText);
  if (meminfo.Ok()) {
    const std::string text = "\n" + meminfo.Value();
    facts.total_bytes = BytesOf(text, "MemTotal");
    facts.available_bytes = BytesOf(text, "MemAvailable");
    facts.swap_total_bytes = BytesOf(text, "SwapTotal");
    facts.swap_free_bytes = BytesOf(text, "SwapFree");
  }
  facts.huge_pages = ReadHugePages();
  return facts;
}

}  // namespace microvm::core
