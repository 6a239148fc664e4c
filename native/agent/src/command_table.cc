#include "command_table.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "process_signal.h"

namespace microvm::agent {
namespace {

// Detached ones count too: each holds descriptors.
constexpr size_t kMaxCommands = 1024;

}  // namespace

int CommandTable::Start(uint32_t stream, const SpawnRequest& request, const WorkloadCgroup& workload,
                        uint32_t output_window) {
  if (by_stream_.size() >= kMaxStreams || commands_.size() >= kMaxCommands) return EAGAIN;
  const uint32_t id = next_id_++;
  CommandCgroup cgroup(workload.folder_fd, std::to_string(getpid()) + "-" + std::to_string(id));
  // Where it cannot be had, the command runs in the workload's and is killed by its process group.
  const UniqueFd procs = cgroup.OpenProcs();
  Child child;
  if (const int error = Spawn(request, procs.valid() ? procs.get() : workload.procs_fd, &child); error != 0) {
    cgroup.Remove();
    return error;
  }
  const pid_t pid = child.pid;
  auto command = std::make_unique<Command>(stream, std::move(child), output_window, outbox_);
  command->Own(std::move(cgroup));
  for (const Command::Pipe pipe :
       {Command::Pipe::kStdin, Command::Pipe::kStdout, Command::Pipe::kStderr, Command::Pipe::kStatus}) {
    const uint32_t events = pipe == Command::Pipe::kStdin ? EPOLLOUT : EPOLLIN;
    if (!poller_->Add(command->fd(pipe), events, Tag{Tag::Kind::kCommand, static_cast<uint8_t>(pipe), id})) {
      // The child is reaped as a stranger; closing its pipes ends it or leaves it without listeners.
      const int error = errno;
      SignalProcess(pid, SIGKILL);
      return error;
    }
  }
  commands_.emplace(id, std::move(command));
  by_stream_.emplace(stream, id);
  by_pid_.emplace(pid, id);
  return 0;
}

Command* CommandTable::ByStream(uint32_t stream) {
  const auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : commands_.at(found->second).get();
}

void CommandTable::OnEvent(const Tag& tag, uint32_t events) {
  const auto found = commands_.find(tag.id);
  if (found != commands_.end()) found->second->OnReady(static_cast<Command::Pipe>(tag.part), events);
}

void CommandTable::OnReaped(pid_t pid, int wait_status) {
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end()) {
    RemoveLeftCgroups();
    return;
  }
  commands_.at(found->second)->OnReaped(wait_status);
  by_pid_.erase(found);
}

void CommandTable::DetachAll() {
  for (auto& [id, command] : commands_) command->Detach();
  by_stream_.clear();
}

bool CommandTable::Pump() {
  bool more = false;
  for (auto it = commands_.begin(); it != commands_.end();) {
    Command& command = *it->second;
    more = command.Pump() || more;
    if (!command.attached()) {
      const auto stream = by_stream_.find(command.stream());
      if (stream != by_stream_.end() && stream->second == it->first) by_stream_.erase(stream);
    }
    if (!command.Gone()) {
      ++it;
      continue;
    }
    CommandCgroup cgroup = command.TakeCgroup();
    if (!cgroup.Remove()) left_cgroups_.push_back(std::move(cgroup));
    it = commands_.erase(it);
  }
  return more;
}

// An orphan of a command is our child: its end is the moment at which its cgroup may have become empty.
void CommandTable::RemoveLeftCgroups() {
  const auto removed = [](CommandCgroup& cgroup) { return cgroup.Remove(); };
  left_cgroups_.erase(std::remove_if(left_cgroups_.begin(), left_cgroups_.end(), removed),
                      left_cgroups_.end());
}

uint64_t CommandTable::deadline() const {
  uint64_t nearest = UINT64_MAX;
  for (const auto& [id, command] : commands_) nearest = std::min(nearest, command->deadline());
  return nearest;
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
