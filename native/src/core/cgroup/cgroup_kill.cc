#include "core/cgroup/cgroup_kill.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/cgroup/cgroup_directory.h"
#include "core/file_io.h"
#include "core/process_wait.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace microvm::core {
namespace {

using Clock = std::chrono::steady_clock;

// How long a cancellation may go unseen.
constexpr std::chrono::milliseconds kLook{20};
// Descriptors held at once by the loop that kills without cgroup.kill.
constexpr size_t kBatch = 64;
constexpr size_t kMaxNamed = 8;
constexpr size_t kMaxEvents = 4096;

using Paths = std::vector<std::string>;

// The cgroup and all beneath it, each before its children. What goes meanwhile is left out.
Result<Paths> ListTree(const std::string& top) {
  Paths tree{top};
  for (size_t i = 0; i < tree.size(); ++i) {
    auto cgroup = CgroupDirectory::Open(tree[i]);
    if (!cgroup.Ok() && IsGone(cgroup.Error())) continue;
    if (!cgroup.Ok()) return cgroup.Error();
    auto children = cgroup.Value().Children();
    if (!children.Ok()) return children.Error();
    const std::string above = tree[i] + "/";
    for (const std::string& name : children.Value()) tree.push_back(above + name);
  }
  return tree;
}

Result<std::vector<pid_t>> ListProcesses(const Paths& tree) {
  std::vector<pid_t> all;
  for (const std::string& path : tree) {
    auto cgroup = CgroupDirectory::Open(path);
    auto pids = cgroup.Ok() ? cgroup.Value().Processes() : cgroup.Error();
    if (!pids.Ok() && IsGone(pids.Error())) continue;
    if (!pids.Ok()) return pids.Error();
    all.insert(all.end(), pids.Value().begin(), pids.Value().end());
  }
  return all;
}

bool Has(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

// Kills what the tree lists both before and after its pidfd was opened: that cannot be a stranger who got the
// pid of one that ended.
Status KillOneByOne(const Paths& tree) {
  auto listed = ListProcesses(tree);
  if (!listed.Ok()) return listed.Error();
  const std::vector<pid_t>& pids = listed.Value();
  for (size_t begin = 0; begin < pids.size(); begin += kBatch) {
    std::vector<std::pair<pid_t, UniqueFd>> opened;
    for (size_t i = begin; i < std::min(begin + kBatch, pids.size()); ++i) {
      UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pids[i], 0)));
      if (!pidfd && errno != ESRCH && errno != EINVAL) return SysError::Last("pidfd_open");
      if (pidfd) opened.emplace_back(pids[i], std::move(pidfd));
    }
    auto still = ListProcesses(tree);
    if (!still.Ok()) return still.Error();
    for (const auto& [pid, pidfd] : opened) {
      if (!Has(still.Value(), pid)) continue;
      auto sent = SendSignal(pidfd.Get(), SIGKILL);
      if (!sent.Ok()) return sent.Error();
    }
  }
  return {};
}

// One killing; one thread.
class Killing {
 public:
  Killing(const CgroupKillRequest& request, const Cancellation& cancellation)
      : request_(request),
        cancellation_(cancellation),
        deadline_(Clock::now() + request.timeout),
        has_kill_file_(request.may_use_kill_file) {}

  Result<CgroupEnd> Run();

 private:
  // An error of IsGone: somebody else has removed it. False: it filled again.
  Result<bool> KillAndRemove(CgroupEnd* end);
  Status KillAll(const CgroupDirectory& top);
  Status WaitUntilEmpty(const CgroupDirectory& top);
  Status GoOn(const char* syscall) const;

  const CgroupKillRequest& request_;
  const Cancellation& cancellation_;
  const Clock::time_point deadline_;
  bool has_kill_file_;
};

// What must not be killed: it is refused before any effect.
Status CheckVictims(const CgroupDirectory& top) {
  auto is_root = top.IsMountRoot();
  if (!is_root.Ok()) return is_root.Error();
  if (is_root.Value()) return SysError{EBUSY, "rmdir", top.Path(), {}, "the root of a hierarchy stays"};
  auto tree = ListTree(top.Path());
  if (!tree.Ok()) return tree.Error();
  auto pids = ListProcesses(tree.Value());
  if (!pids.Ok()) return pids.Error();
  if (Has(pids.Value(), getpid())) {
    return SysError{EDEADLK, "kill", top.Path(), {}, "this process is in that cgroup"};
  }
  return {};
}

std::optional<int64_t> ReadOomKills(const CgroupDirectory& top) {
  auto events = top.Read("memory.events");
  if (!events.Ok()) return std::nullopt;
  const int64_t kills = ValueOf(events.Value(), "oom_kill");
  return kills < 0 ? std::nullopt : std::optional(kills);
}

// False: a process or a cgroup came in meanwhile.
Result<bool> RemoveCgroups(const std::string& top) {
  auto tree = ListTree(top);
  if (!tree.Ok()) return tree.Error();
  for (auto path = tree.Value().rbegin(); path != tree.Value().rend(); ++path) {
    if (rmdir(path->c_str()) == 0 || errno == ENOENT) continue;
    return errno == EBUSY ? Result(false) : SysError::Last("rmdir", *path);
  }
  return true;
}

Status Killing::GoOn(const char* syscall) const {
  if (cancellation_.IsRequested()) return SysError{ECANCELED, syscall, request_.path};
  if (Clock::now() < deadline_) return {};
  SysError late{ETIMEDOUT, syscall, request_.path};
  auto tree = ListTree(request_.path);
  auto pids = tree.Ok() ? ListProcesses(tree.Value()) : tree.Error();
  if (!pids.Ok()) return late;
  late.detail = "still has " + std::to_string(pids.Value().size()) + " processes:";
  for (size_t i = 0; i < std::min(kMaxNamed, pids.Value().size()); ++i) {
    late.detail += " " + std::to_string(pids.Value()[i]);
  }
  return late;
}

Status Killing::KillAll(const CgroupDirectory& top) {
  if (has_kill_file_) {
    auto killed = top.Write("cgroup.kill", "1");
    if (killed.Ok() || killed.Error().number != ENOENT || access(top.Path().c_str(), F_OK) != 0)
      return killed;
    has_kill_file_ = false;
  }
  // Frozen, they make no new ones; they die all the same.
  auto frozen = top.Write("cgroup.freeze", "1");
  if (!frozen.Ok()) return frozen;
  auto tree = ListTree(top.Path());
  if (!tree.Ok()) return tree.Error();
  return KillOneByOne(tree.Value());
}

Status Killing::WaitUntilEmpty(const CgroupDirectory& top) {
  auto events = top.OpenControl("cgroup.events", O_RDONLY);
  if (!events.Ok()) return events.Error();
  pollfd waiting{events.Value().Get(), POLLPRI, 0};
  while (true) {
    // Read before each wait: what changes from then on wakes it.
    auto text = ReadSmallFile(waiting.fd, top.Path() + "/cgroup.events", kMaxEvents);
    if (!text.Ok()) return text.Error();
    if (ValueOf(text.Value(), "populated") == 0) return {};
    auto go_on = GoOn("poll");
    if (!go_on.Ok()) return go_on;
    const int woken = RetryOnSignal([&] { return poll(&waiting, 1, kLook.count()); });
    if (woken == 0 && !has_kill_file_) {
      auto killed = KillAll(top);
      if (!killed.Ok()) return killed;
    }
  }
}

Result<bool> Killing::KillAndRemove(CgroupEnd* end) {
  auto top = CgroupDirectory::Open(request_.path);
  if (!top.Ok()) return top.Error();
  auto done = CheckVictims(top.Value());
  if (!done.Ok()) return done.Error();
  end->existed = true;
  done = KillAll(top.Value());
  if (done.Ok()) done = WaitUntilEmpty(top.Value());
  if (!done.Ok()) return done.Error();
  end->oom_kills = ReadOomKills(top.Value());
  return RemoveCgroups(request_.path);
}

Result<CgroupEnd> Killing::Run() {
  CgroupEnd end;
  while (true) {
    auto removed = KillAndRemove(&end);
    if (!removed.Ok() && !IsGone(removed.Error())) return removed.Error();
    if (!removed.Ok() || removed.Value()) return end;
    auto go_on = GoOn("rmdir");
    if (!go_on.Ok()) return go_on.Error();
  }
}

}  // namespace

Result<CgroupEnd> KillCgroup(const CgroupKillRequest& request, const Cancellation& cancellation) {
  return Killing(request, cancellation).Run();
}

}  // namespace microvm::core
