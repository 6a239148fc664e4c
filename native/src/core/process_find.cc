#include "core/process_find.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "core/file_io.h"

namespace microvm::core {
namespace {

// The kernel's own limit is stack size / 4, at most 6 MiB of arguments.
constexpr size_t kMaxCommandLine = 8u << 20;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

std::vector<std::string> SplitArguments(const std::string& command_line) {
  std::vector<std::string> args;
  for (size_t begin = 0; begin < command_line.size();) {
    const size_t end = std::min(command_line.find('\0', begin), command_line.size());
    args.emplace_back(command_line, begin, end - begin);
    begin = end + 1;
  }
  return args;
}

}  // namespace

Result<std::vector<FoundProcess>> FindProcesses(const std::string& needle) {
  const std::unique_ptr<DIR, DirectoryCloser> proc(opendir("/proc"));
  if (!proc) return SysError::Last("opendir", "/proc");
  auto boot = ReadBootId();
  if (!boot.Ok()) return boot.Error();
  std::vector<FoundProcess> found;
  while (const dirent* entry = readdir(proc.get())) {
    char* end = nullptr;
    const long pid = strtol(entry->d_name, &end, 10);
    if (pid <= 0 || *end != '\0' || pid == getpid()) continue;
    // The start time is read before and after: else the arguments could be those of a later process.
    auto before = ReadProcessStat(static_cast<pid_t>(pid));
    auto command_line = ReadSmallFile("/proc/" + std::to_string(pid) + "/cmdline", kMaxCommandLine);
    if (!command_line.Ok() || command_line.Value().find(needle) == std::string::npos) continue;
    auto after = ReadProcessStat(static_cast<pid_t>(pid));
    if (!before.Ok() || !after.Ok() || !before.Value() || !after.Value()) continue;
    if (before.Value()->start_time != after.Value()->start_time) continue;
    auto args = SplitArguments(command_line.Value());
    const bool matches = std::any_of(args.begin(), args.end(), [&](const std::string& arg) {
      return arg.find(needle) != std::string::npos;
    });
    if (!matches) continue;
    const ProcessIdentity identity{static_cast<pid_t>(pid), after.Value()->start_time, boot.Value()};
    found.push_back({identity, std::move(args)});
  }
  std::sort(found.begin(), found.end(),
            [](const FoundProcess& a, const FoundProcess& b) { return a.identity.pid < b.identity.pid; });
  return found;
}

}  // namespace microvm::core
