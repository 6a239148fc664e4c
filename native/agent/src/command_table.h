#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "stream_table.h"

namespace microvm::agent {

// All commands that have a process or an open pipe, of this session and of earlier ones. The stream table
// owns them.
class CommandTable {
 public:
  CommandTable(StreamTable* streams, Outbox* outbox);

  // `error` 0, or what failed; EAGAIN when there are too many.
  SpawnFailure Start(uint32_t stream, const SpawnRequest& request, const WorkloadCgroup& workload,
                     uint32_t output_window);
  void OnReaped(pid_t pid, int wait_status);

  // What commands get over the defaults, NAME=value, from the next one on.
  void SetEnvironment(std::vector<std::string> environment) { environment_ = std::move(environment); }
  const std::vector<std::string>& environment() const { return environment_; }

  void SignalAll(int number);
  std::set<pid_t> Groups() const;
  bool AnyAlive() const { return !by_pid_.empty(); }

 private:
  void OnGone(uint32_t id);
  void RemoveLeftCgroups();

  StreamTable* streams_;
  Outbox* outbox_;
  std::vector<std::string> environment_;
  uint32_t last_cgroup_ = 0;
  std::map<uint32_t, Command*> commands_;  // by their number in the stream table
  std::map<pid_t, Command*> by_pid_;       // not reaped
  // Of commands that are gone and have left a process in the background.
  std::vector<CommandCgroup> left_cgroups_;
};

}  // namespace microvm::agent
