#include "watcher/ward_list.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>

#include "core/process_wait.h"
#include "core/remove_tree.h"

namespace microvm::watcher {
namespace {

constexpr size_t kMaxLine = PATH_MAX + 64;
// A killed process ends at once unless the kernel cannot let it go (a dead disk).
constexpr int kEndTimeoutMs = 30'000;

// Cuts the first word off the text.
std::string_view NextWord(std::string_view* text) {
  const size_t end = std::min(text->find(' '), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return word;
}

bool IsNumber(std::string_view word) {
  return !word.empty() && word.size() <= 20 && word.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<pid_t> ParsePid(std::string_view word) {
  if (!IsNumber(word) || word.size() > 10) return std::nullopt;
  long long pid = 0;
  for (const char digit : word) pid = pid * 10 + (digit - '0');
  // 1 is never ours to kill.
  if (pid < 2 || pid > INT_MAX) return std::nullopt;
  return static_cast<pid_t>(pid);
}

bool IsDirectory(std::string_view path) {
  const std::string whole = std::string(path) + "/";
  const bool climbs = whole.find("/../") != std::string::npos || whole.find("/./") != std::string::npos;
  return path.size() > 1 && path[0] == '/' && path.size() < PATH_MAX && !climbs &&
         path.find_first_not_of('/') != std::string_view::npos;
}

bool AwaitEnd(int pidfd, int timeout_ms) {
  pollfd entry{pidfd, POLLIN, 0};
  return core::RetryOnSignal([&] { return poll(&entry, 1, timeout_ms); }) > 0;
}

// The process, unless it is gone: a later one with its pid does not count. Empty with `failed` set: it could
// not be found out.
std::optional<UniqueFd> Open(pid_t pid, const std::string& start_time, bool* failed) {
  auto boot = core::ReadBootId();
  auto pidfd = core::OpenPidfd({pid, start_time, boot.Ok() ? boot.Value() : ""});
  *failed = !boot.Ok() || !pidfd.Ok();
  return *failed ? std::nullopt : std::move(pidfd.Value());
}

bool KillAndAwait(pid_t pid, const std::string& start_time) {
  bool failed = false;
  const auto process = Open(pid, start_time, &failed);
  if (!process) return !failed;
  auto sent = core::SendSignal(process->Get(), SIGKILL);
  return sent.Ok() && (!sent.Value() || AwaitEnd(process->Get(), kEndTimeoutMs));
}

bool Remove(const std::string& directory) {
  // A cgroup goes as it is, and only so: its files cannot be removed.
  if (rmdir(directory.c_str()) == 0) return true;
  const auto removed = core::RemoveTree(directory);
  if (removed.IsComplete()) return true;
  const auto& error = removed.left.front();
  fprintf(stderr, "microvm-watcher: %s %s: %s\n", error.syscall, error.path.c_str(), strerror(error.number));
  return false;
}

}  // namespace

void WardList::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (partial_.size() + part.size() > kMaxLine) is_overlong_ = true;
    if (!is_overlong_) partial_ += part;
    if (end == std::string_view::npos) return;
    if (is_overlong_ || !TakeLine(partial_)) ++ignored_lines_;
    partial_.clear();
    is_overlong_ = false;
    bytes.remove_prefix(end + 1);
  }
}

bool WardList::TakeLine(std::string_view line) {
  const std::string_view verb = NextWord(&line);
  const auto pid = ParsePid(NextWord(&line));
  if (!pid) return false;
  if (verb == "del" && line.empty()) {
    wards_.erase(*pid);
    return true;
  }
  const std::string_view start_time = NextWord(&line);
  const bool has_directory = line != "-";
  if (verb != "add" || !IsNumber(start_time) || (has_directory && !IsDirectory(line))) return false;
  Ward& ward = wards_[*pid];
  // A later process with the pid of one that was never taken off has nothing of that one's.
  if (ward.start_time != start_time) ward = Ward{std::string(start_time), {}};
  if (has_directory) ward.directories.emplace_back(line);
  return true;
}

bool WardList::Reclaim() {
  // All are shot before any is waited for.
  for (const auto& [pid, ward] : wards_) {
    bool failed = false;
    const auto process = Open(pid, ward.start_time, &failed);
    if (process) static_cast<void>(core::SendSignal(process->Get(), SIGKILL));
  }
  bool is_complete = true;
  for (const auto& [pid, ward] : wards_) {
    if (!KillAndAwait(pid, ward.start_time)) {
      fprintf(stderr, "microvm-watcher: process %d did not end; its directories are left\n", pid);
      is_complete = false;
      continue;
    }
    for (const auto& directory : ward.directories) is_complete = Remove(directory) && is_complete;
  }
  return is_complete;
}

}  // namespace microvm::watcher
