#include "core/process_identity.h"

#include <cstdlib>
#include <string_view>

#include "core/file_io.h"

namespace microvm::core {
namespace {

constexpr int kStartTimeField = 22;
constexpr int kExitCodeField = 52;

}  // namespace

std::optional<ProcessStat> ParseProcessStat(const std::string& text) {
  const size_t command_end = text.rfind(") ");
  if (command_end == std::string::npos) return std::nullopt;
  std::string_view rest(text);
  rest.remove_prefix(command_end + 2);
  ProcessStat stat;
  for (int field = 3; !rest.empty(); ++field) {
    const size_t length = std::min(rest.find_first_of(" \n"), rest.size());
    const std::string_view word = rest.substr(0, length);
    if (field == 3 && !word.empty()) stat.state = word[0];
    if (field == kStartTimeField) stat.start_time = word;
    if (field == kExitCodeField)
      stat.exit_status = static_cast<int>(strtol(std::string(word).c_str(), nullptr, 10));
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  if (stat.start_time.empty()) return std::nullopt;
  return stat;
}

Result<std::optional<ProcessStat>> ReadProcessStat(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  auto text = ReadSmallFile(path, 8192);
  if (!text.Ok()) {
    const int number = text.Error().number;
    if (number == ENOENT || number == ESRCH) return std::optional<ProcessStat>();
    return text.Error();
  }
  auto stat = ParseProcessStat(text.Value());
  if (!stat) return SysError{EPROTO, "read", path};
  return stat;
}

Result<std::string> ReadBootId() {
  auto text = ReadSmallFile("/proc/sys/kernel/random/boot_id", 64);
  if (!text.Ok()) return text;
  std::string& id = text.Value();
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return text;
}

Result<std::optional<ProcessIdentity>> IdentifyProcess(pid_t pid) {
  auto stat = ReadProcessStat(pid);
  if (!stat.Ok()) return stat.Error();
  if (!stat.Value()) return std::optional<ProcessIdentity>();
  auto boot = ReadBootId();
  if (!boot.Ok()) return boot.Error();
  return std::optional<ProcessIdentity>(ProcessIdentity{pid, stat.Value()->start_time, boot.Value()});
}

}  // namespace microvm::core
