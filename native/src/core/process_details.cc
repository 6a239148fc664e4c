#include "core/process_details.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <string_view>

#include "core/file_io.h"

namespace microvm::core {
namespace {

constexpr size_t kMaxSmallFile = 16u << 10;
// No VMM of ours has a command line of that length, and whoever wants to fill our memory with one does not.
constexpr size_t kMaxCommandLine = 128u << 10;

std::vector<std::string> SplitArguments(const std::string& command_line) {
  std::vector<std::string> args;
  for (size_t begin = 0; begin < command_line.size();) {
    const size_t end = std::min(command_line.find('\0', begin), command_line.size());
    args.emplace_back(command_line, begin, end - begin);
    begin = end + 1;
  }
  return args;
}

// The rest of the line that begins with the key.
std::string_view LineOf(std::string_view text, std::string_view key) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.substr(0, key.size()) == key) return line.substr(key.size());
    begin = end + 1;
  }
  return {};
}

// The files of one process. The folder stays that process's: after its end all reads fail, whoever has the
// pid by then.
class ProcessFiles {
 public:
  explicit ProcessFiles(pid_t pid)
      : path_("/proc/" + std::to_string(pid)),
        folder_(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

  std::string Read(const char* name, size_t limit = kMaxSmallFile) const {
    if (!folder_) return {};
    const UniqueFd file(RetryOnSignal([&] { return openat(folder_.Get(), name, O_RDONLY | O_CLOEXEC); }));
    if (!file) return {};
    auto text = ReadSmallFile(file.Get(), path_, limit);
    return text.Ok() ? std::move(text.Value()) : std::string();
  }

  std::string Link(const char* name) const {
    char target[PATH_MAX];
    const ssize_t length = folder_ ? readlinkat(folder_.Get(), name, target, sizeof target) : -1;
    return length < 0 ? std::string() : std::string(target, static_cast<size_t>(length));
  }

  // Whether the link leads to that very folder, by whatever path.
  bool LeadsTo(const char* name, const struct stat& wanted) const {
    struct stat status {};
    return folder_ && fstatat(folder_.Get(), name, &status, 0) == 0 && status.st_dev == wanted.st_dev &&
           status.st_ino == wanted.st_ino;
  }

 private:
  std::string path_;
  UniqueFd folder_;
};

struct Users {
  uid_t real;
  uid_t effective;
};

std::optional<Users> ParseUsers(const std::string& status) {
  const std::string line(LineOf(status, "Uid:"));
  char* end = nullptr;
  const unsigned long real = strtoul(line.c_str(), &end, 10);
  const char* const second = end;
  const unsigned long effective = strtoul(second, &end, 10);
  if (line.empty() || end == second) return std::nullopt;
  return Users{static_cast<uid_t>(real), static_cast<uid_t>(effective)};
}

bool HasArgument(const std::vector<std::string>& args, const std::string& part) {
  return std::any_of(args.begin(), args.end(),
                     [&](const std::string& arg) { return arg.find(part) != std::string::npos; });
}

}  // namespace

std::optional<FoundProcess> ReadProcess(pid_t pid, const ProcessFilter& filter,
                                        const DetailsKnown& on_known) {
  const ProcessQuery& query = filter.query;
  const ProcessFiles files(pid);
  FoundProcess process;
  process.identity.pid = pid;
  const auto stat = ParseProcessStat(files.Read("stat"));
  if (!stat) return std::nullopt;
  process.identity.start_time = stat->start_time;
  const auto users = ParseUsers(files.Read("status"));
  if (!users) return std::nullopt;
  process.uid = users->real;
  if (query.uid && (users->real != *query.uid || users->effective != *query.uid)) return std::nullopt;
  process.cgroup = LineOf(files.Read("cgroup"), "0::");
  if (!query.cgroup.empty() && process.cgroup != query.cgroup) return std::nullopt;
  on_known({pid, process.identity.start_time, process.uid});
  if (filter.root && !files.LeadsTo("root", *filter.root)) return std::nullopt;
  if (filter.cwd && !files.LeadsTo("cwd", *filter.cwd)) return std::nullopt;
  process.root = files.Link("root");
  process.cwd = files.Link("cwd");
  process.args = SplitArguments(files.Read("cmdline", kMaxCommandLine));
  if (!query.argument.empty() && !HasArgument(process.args, query.argument)) return std::nullopt;
  // It is still there, so all of it was read of one process.
  if (files.Read("stat").empty()) return std::nullopt;
  return process;
}

}  // namespace microvm::core
