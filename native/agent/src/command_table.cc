#include "command_table.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "process_signal.h"

namespace microvm::agent {
namespace {

// What is kept of commands that have ended, for readers that nobody expects.
constexpr size_t kMaxKept = 64;
constexpr size_t kMaxKeptBytes = 8u << 20;

}  // namespace

CommandTable::CommandTable(StreamTable* streams, Outbox* outbox) : streams_(streams), outbox_(outbox) {
  streams_->TellGone([this](uint32_t id) { OnGone(id); });
}

SpawnFailure CommandTable::Start(uint32_t stream, const SpawnRequest& request, const WorkloadCgroup& workload,
                                 uint32_t output_window) {
  if (const int error = streams_->CheckRoom(); error != 0) return {error, kSpawnStart};
  if (request.id != 0 && Find(request.id) != nullptr) return {EEXIST, kSpawnStart};
  CommandCgroup cgroup(workload.folder_fd, std::to_string(getpid()) + "-" + std::to_string(++last_cgroup_));
  // Where it cannot be had, the command runs in the workload's and is signalled by its process group.
  const UniqueFd procs = cgroup.OpenProcs();
  Child child;
  std::vector<std::string> of_all = image_.env;
  of_all.insert(of_all.end(), environment_.begin(), environment_.end());
  const SpawnFailure failure = Spawn(request, of_all, procs ? procs.Get() : workload.procs_fd, &child);
  if (failure.error != 0) {
    cgroup.Remove();
    return failure;
  }
  const Command::Parts parts = {outbox_, &budget_, output_window, await_ms_,
                                [this](CommandCgroup left) { Leave(std::move(left)); }};
  auto owned = std::make_unique<Command>(stream, request, std::move(child), parts);
  Command* command = owned.get();
  const pid_t pid = command->pid();
  command->Own(std::move(cgroup));
  const uint32_t id = streams_->Add(std::move(owned));
  if (id == 0) {
    // The child is reaped as a stranger; closing its pipes ends it or leaves it without listeners.
    const int error = errno;
    SignalProcess(pid, SIGKILL);
    return {error, kSpawnStart};
  }
  commands_.emplace(id, command);
  by_pid_.emplace(pid, command);
  return {0, kSpawnStart};
}

std::pair<const uint32_t, Command*>* CommandTable::Find(uint64_t id) {
  for (auto& entry : commands_) {
    if (entry.second->id() == id && !entry.second->forgotten()) return &entry;
  }
  return nullptr;
}

int CommandTable::Attach(uint32_t stream, const AttachRequest& request) {
  if (const int error = streams_->CheckAttach(); error != 0) return error;
  const auto* found = Find(request.id);
  if (found == nullptr) return ESRCH;
  const int error = found->second->Attach(stream, request);
  if (error == 0) streams_->Attach(found->first, stream);
  return error;
}

int CommandTable::Signal(uint64_t id, int number) {
  const auto* found = Find(id);
  return found == nullptr ? ESRCH : found->second->Signal(number);
}

void CommandTable::Confirm(uint32_t stream) {
  for (auto& [number, command] : commands_) {
    if (command->told() == stream) command->Forget();
  }
}

void CommandTable::List(uint32_t from, PayloadWriter* out) const {
  PayloadWriter entries;
  uint16_t count = 0;
  uint32_t next = 0;
  for (auto it = commands_.lower_bound(from); it != commands_.end(); ++it) {
    if (it->second->forgotten() || it->second->id() == 0) continue;
    if (count == kMaxListed) {
      next = it->first;
      break;
    }
    it->second->WriteEntry(&entries);
    count++;
  }
  out->U32(next).U16(count).Raw(entries.bytes().data(), entries.bytes().size());
}

void CommandTable::LimitKept() {
  std::vector<Command*> kept;
  size_t bytes = 0;
  for (const auto& [number, command] : commands_) {
    if (!command->IsKept()) continue;
    kept.push_back(command);
    bytes += command->kept_bytes();
  }
  if (kept.size() <= kMaxKept && bytes <= kMaxKeptBytes) return;
  std::sort(kept.begin(), kept.end(),
            [](const Command* a, const Command* b) { return a->kept_since() < b->kept_since(); });
  size_t count = kept.size();
  for (Command* command : kept) {
    if (count <= kMaxKept && bytes <= kMaxKeptBytes) break;
    bytes -= command->kept_bytes();
    count--;
    command->Forget();
  }
}

void CommandTable::OnReaped(pid_t pid, int wait_status) {
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end()) {
    RemoveLeftCgroups();
    return;
  }
  found->second->OnReaped(wait_status);
  by_pid_.erase(found);
}

void CommandTable::OnGone(uint32_t id) {
  const auto found = commands_.find(id);
  if (found == commands_.end()) return;
  Leave(found->second->TakeCgroup());
  commands_.erase(found);
}

void CommandTable::Leave(CommandCgroup cgroup) {
  if (!cgroup.Remove()) left_cgroups_.push_back(std::move(cgroup));
}

// An orphan of a command is our child: its end is the moment at which its cgroup may have become empty.
void CommandTable::RemoveLeftCgroups() {
  const auto removed = [](CommandCgroup& cgroup) { return cgroup.Remove(); };
  left_cgroups_.erase(std::remove_if(left_cgroups_.begin(), left_cgroups_.end(), removed),
                      left_cgroups_.end());
}

void CommandTable::SignalAll(int number) {
  for (const auto& [id, command] : commands_) {
    if (!command->IsOver()) command->Signal(number);
  }
}

bool CommandTable::StopMain(int number) {
  if (image_.stop_signal == 0 || !RunsMain()) return false;
  for (const auto& [id, command] : commands_) {
    if (command->RunsMain()) {
      SignalProcess(command->pid(), image_.stop_signal);
    } else if (!command->IsOver()) {
      command->Signal(number);
    }
  }
  return true;
}

bool CommandTable::RunsMain() const {
  return std::any_of(by_pid_.begin(), by_pid_.end(),
                     [](const auto& entry) { return entry.second->RunsMain(); });
}

std::set<pid_t> CommandTable::Groups() const {
  std::set<pid_t> groups;
  for (const auto& [id, command] : commands_) {
    // The number of one that is over may be a stranger's by now.
    if (!command->IsOver()) groups.insert(command->pid());
  }
  return groups;
}

}  // namespace microvm::agent
