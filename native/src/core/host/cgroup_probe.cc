#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "core/cgroup/cgroup_directory.h"
#include "core/file_io.h"
#include "core/host/host_probe.h"

namespace microvm::core {
namespace {

constexpr size_t kMaxText = 1 << 20;

std::vector<std::string> Words(const std::string& text, char separator) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) {
    while (!word.empty() && word.back() == '\n') word.pop_back();
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

// Blanks in paths are written as \040 and the like.
std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

void AddV1Controllers(const std::string& options, CgroupFacts* facts) {
  constexpr const char* kKnown[] = {"cpu",  "cpuset",  "memory",  "blkio",
                                    "pids", "hugetlb", "devices", "freezer"};
  facts->has_v1 = true;
  for (const std::string& option : Words(options, ',')) {
    const bool is_known = std::find(std::begin(kKnown), std::end(kKnown), option) != std::end(kKnown);
    if (is_known) facts->v1_controllers.push_back(option);
  }
}

void ReadMounts(CgroupFacts* facts) {
  auto mounts = ReadSmallFile("/proc/self/mounts", kMaxText);
  if (!mounts.Ok()) return;
  std::istringstream lines(mounts.Value());
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string device, path, type, options;
    fields >> device >> path >> type >> options;
    if (type == "cgroup2" && facts->v2_mount.empty()) facts->v2_mount = Unescape(path);
    if (type == "cgroup") AddV1Controllers(options, facts);
  }
}

std::string ReadOwnPath() {
  auto text = ReadSmallFile("/proc/self/cgroup", kMaxText);
  if (!text.Ok()) return {};
  std::istringstream lines(text.Value());
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("0::", 0) == 0) return line.substr(3);
  }
  return {};
}

// A controller that is on already, or that we may switch on.
std::vector<std::string> UsableControllers(const CgroupDirectory& base) {
  auto available = base.Read("cgroup.controllers");
  auto enabled = base.Read("cgroup.subtree_control");
  std::vector<std::string> usable;
  if (!available.Ok() || !enabled.Ok()) return usable;
  const bool may_switch = base.OpenControl("cgroup.subtree_control", O_WRONLY).Ok();
  for (const std::string& controller : Words(available.Value(), ' ')) {
    if (may_switch || HasWord(enabled.Value(), controller)) usable.push_back(controller);
  }
  return usable;
}

// Only the hierarchy's own root, which has no cgroup.type, may have processes and limits below.
bool IsOccupied(const CgroupDirectory& base) {
  auto type = base.Read("cgroup.type");
  auto pids = base.Processes();
  return type.Ok() && pids.Ok() && !pids.Value().empty();
}

// Whether a cgroup can be made in it: by making one.
bool TryBase(const std::string& path, CgroupFacts* facts) {
  auto base = CgroupDirectory::Open(path);
  if (!base.Ok()) {
    facts->base_error = base.Error().number;
    return false;
  }
  const std::string made = path + "/.microvm-probe-" + RandomHex16();
  if (mkdir(made.c_str(), 0755) != 0) {
    facts->base_error = errno;
    return false;
  }
  facts->has_kill = access((made + "/cgroup.kill").c_str(), F_OK) == 0;
  rmdir(made.c_str());
  facts->base = path;
  facts->base_error = 0;
  facts->controllers = UsableControllers(base.Value());
  facts->is_base_occupied = IsOccupied(base.Value());
  return true;
}

}  // namespace

CgroupFacts ProbeCgroups() {
  CgroupFacts facts;
  ReadMounts(&facts);
  facts.own = ReadOwnPath();
  if (facts.v2_mount.empty()) return facts;
  if (!TryBase(facts.v2_mount, &facts) && facts.own != "/") TryBase(facts.v2_mount + facts.own, &facts);
  return facts;
}

}  // namespace microvm::core
