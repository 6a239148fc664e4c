#include "core/process_search.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "core/process_details.h"
#include "core/thread.h"

namespace microvm::core {
namespace {

using Clock = std::chrono::steady_clock;

// A reader that needs longer for one process gets company, so that the processes behind it do not wait.
constexpr std::chrono::milliseconds kPatience(50);
// Readers of the whole process that wait for processes which do not answer.
constexpr size_t kMaxStuckReaders = 64;
// What is found stays in memory until JavaScript has it.
constexpr size_t kMaxFoundBytes = 64u << 20;

// The processes whose readers were given up and have not come back. Any thread.
class StuckProcesses {
 public:
  bool Has(pid_t pid) {
    const std::lock_guard lock(mutex_);
    return pids_.count(pid) > 0;
  }
  bool IsFull() {
    const std::lock_guard lock(mutex_);
    return pids_.size() >= kMaxStuckReaders;
  }
  void Add(pid_t pid) {
    const std::lock_guard lock(mutex_);
    pids_.insert(pid);
  }
  void Remove(pid_t pid) {
    const std::lock_guard lock(mutex_);
    pids_.erase(pids_.find(pid));
  }

 private:
  std::mutex mutex_;
  std::multiset<pid_t> pids_;
};

StuckProcesses& Stuck() {
  // Never destroyed: readers may come back until the very end of the process.
  static auto* const kStuck = std::make_unique<StuckProcesses>().release();
  return *kStuck;
}

// One search, shared by whoever waits for it and its readers. A reader may come back long after the search
// has ended.
class Search : public std::enable_shared_from_this<Search> {
 public:
  Search(const ProcessQuery& query, std::vector<pid_t> pids, std::string boot_id)
      : query_(query), boot_id_(std::move(boot_id)), pids_(std::move(pids)), filter_{query_, {}, {}} {}

  Status LookUpFolders();
  Result<ProcessSearchResult> Run();

 private:
  Status StartReader();
  void Read();
  std::optional<pid_t> Next();
  void Note(const UnansweredProcess& known);
  void End(pid_t pid, std::optional<FoundProcess> found);
  void GiveUp();
  // With the lock held.
  bool IsDone() const { return next_ == pids_.size() && reading_.empty(); }

  const ProcessQuery query_;
  const std::string boot_id_;
  const std::vector<pid_t> pids_;
  ProcessFilter filter_;

  std::mutex mutex_;
  std::condition_variable progressed_;
  size_t next_ = 0;
  size_t ended_ = 0;
  // What is being read, and what is known of it.
  std::map<pid_t, UnansweredProcess> reading_;
  std::set<pid_t> given_up_;
  size_t found_bytes_ = 0;
  ProcessSearchResult result_;
};

Status Search::LookUpFolders() {
  const auto look_up = [](const std::string& path, std::optional<struct stat>* folder) -> Status {
    if (path.empty()) return {};
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return SysError::Last("stat", path);
    *folder = status;
    return {};
  };
  auto root = look_up(query_.root, &filter_.root);
  return root.Ok() ? look_up(query_.cwd, &filter_.cwd) : root;
}

Result<ProcessSearchResult> Search::Run() {
  const auto deadline = Clock::now() + query_.deadline;
  auto started = StartReader();
  if (!started.Ok()) return started.Error();
  std::unique_lock lock(mutex_);
  while (!IsDone() && Clock::now() < deadline) {
    const size_t ended_before = ended_;
    const bool needs_no_company = next_ == pids_.size() || Stuck().IsFull();
    const auto until = needs_no_company ? deadline : std::min(deadline, Clock::now() + kPatience);
    const bool has_progressed =
        progressed_.wait_until(lock, until, [&] { return IsDone() || ended_ != ended_before; });
    // Where no further thread can be had, the deadline decides.
    if (!has_progressed && !needs_no_company) static_cast<void>(StartReader());
  }
  GiveUp();
  const auto by_pid = [](const auto& a, const auto& b) { return a.pid < b.pid; };
  std::sort(result_.unanswered.begin(), result_.unanswered.end(), by_pid);
  std::sort(result_.found.begin(), result_.found.end(),
            [&](const FoundProcess& a, const FoundProcess& b) { return by_pid(a.identity, b.identity); });
  return std::move(result_);
}

Status Search::StartReader() {
  return StartThread("mvm-search", [self = shared_from_this()] { self->Read(); });
}

void Search::Read() {
  while (const auto pid = Next()) {
    End(*pid, ReadProcess(*pid, filter_, [this](const UnansweredProcess& known) { Note(known); }));
  }
}

// Empty when there is none left.
std::optional<pid_t> Search::Next() {
  const std::lock_guard lock(mutex_);
  while (next_ < pids_.size()) {
    const pid_t pid = pids_[next_++];
    if (Stuck().Has(pid)) {
      result_.unanswered.push_back({pid, {}, {}});
      continue;
    }
    reading_[pid].pid = pid;
    return pid;
  }
  progressed_.notify_all();
  return std::nullopt;
}

void Search::Note(const UnansweredProcess& known) {
  const std::lock_guard lock(mutex_);
  const auto reading = reading_.find(known.pid);
  if (reading != reading_.end()) reading->second = known;
}

void Search::End(pid_t pid, std::optional<FoundProcess> found) {
  const std::lock_guard lock(mutex_);
  if (given_up_.count(pid) > 0) return Stuck().Remove(pid);
  const auto reading = reading_.find(pid);
  if (found) {
    for (const std::string& arg : found->args) found_bytes_ += arg.size() + sizeof arg;
    if (found_bytes_ > kMaxFoundBytes) {
      result_.unanswered.push_back(reading->second);
    } else {
      found->identity.boot_id = boot_id_;
      result_.found.push_back(std::move(*found));
    }
  }
  reading_.erase(reading);
  ++ended_;
  progressed_.notify_all();
}

// With the lock held: what has not answered by now does not count any more.
void Search::GiveUp() {
  for (const auto& [pid, known] : reading_) {
    given_up_.insert(pid);
    Stuck().Add(pid);
    result_.unanswered.push_back(known);
  }
  reading_.clear();
  for (; next_ < pids_.size(); ++next_) result_.unanswered.push_back({pids_[next_], {}, {}});
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

Result<std::vector<pid_t>> AllPids() {
  const std::unique_ptr<DIR, DirectoryCloser> proc(opendir("/proc"));
  if (!proc) return SysError::Last("opendir", "/proc");
  std::vector<pid_t> pids;
  while (const dirent* entry = readdir(proc.get())) {
    char* end = nullptr;
    const long pid = strtol(entry->d_name, &end, 10);
    if (pid > 0 && *end == '\0') pids.push_back(static_cast<pid_t>(pid));
  }
  return pids;
}

}  // namespace

Result<ProcessSearchResult> SearchProcesses(const ProcessQuery& query) {
  auto boot = ReadBootId();
  if (!boot.Ok()) return boot.Error();
  auto pids = query.pids ? Result(*query.pids) : AllPids();
  if (!pids.Ok()) return pids.Error();
  std::vector<pid_t>& all = pids.Value();
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  all.erase(std::remove(all.begin(), all.end(), getpid()), all.end());
  const auto search = std::make_shared<Search>(query, std::move(pids.Value()), std::move(boot.Value()));
  auto looked_up = search->LookUpFolders();
  if (!looked_up.Ok()) return looked_up.Error();
  return search->Run();
}

}  // namespace microvm::core
