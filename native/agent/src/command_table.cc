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

CommandTable::CommandTable(StreamTable* streams, Outbox* outbox) : streams_(streams), outbox_(outbox) {
  streams_->TellGone([this](uint32_t id) { OnGone(id); });
}

SpawnFailure CommandTable::Start(uint32_t stream, const SpawnRequest& request, const WorkloadCgroup& workload,
                                 uint32_t output_window) {
  if (const int error = streams_->CheckRoom(); error != 0) return {error, kSpawnStart};
  CommandCgroup cgroup(workload.folder_fd, std::to_string(getpid()) + "-" + std::to_string(++last_cgroup_));
  // Where it cannot be had, the command runs in the workload's and is signalled by its process group.
  const UniqueFd procs = cgroup.OpenProcs();
  Child child;
  const SpawnFailure failure = Spawn(request, environment_, procs ? procs.Get() : workload.procs_fd, &child);
  if (failure.error != 0) {
    cgroup.Remove();
    return failure;
  }
  auto owned = std::make_unique<Command>(stream, std::move(child), output_window, outbox_);
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
  CommandCgroup cgroup = found->second->TakeCgroup();
  if (!cgroup.Remove()) left_cgroups_.push_back(std::move(cgroup));
  commands_.erase(found);
}

// An orphan of a command is our child: its end is the moment at which its cgroup may have become empty.
void CommandTable::RemoveLeftCgroups() {
  const auto removed = [](CommandCgroup& cgroup) { return cgroup.Remove(); };
  left_cgroups_.erase(std::remove_if(left_cgroups_.begin(), left_cgroups_.end(), removed),
                      left_cgroups_.end());
}

void CommandTable::SignalAll(int number) {
  for (const auto& [id, command] : commands_) command->Signal(number);
}

std::set<pid_t> CommandTable::Groups() const {
  std::set<pid_t> groups;
  for (const auto& [id, command] : commands_) groups.insert(command->pid());
  return groups;
}

}  // namespace microvm::agent
