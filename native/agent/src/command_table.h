#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "command.h"
#include "poller.h"

namespace microvm::agent {

// All commands that have a process or an open pipe, of this session and of earlier ones.
class CommandTable {
 public:
  CommandTable(Poller* poller, Outbox* outbox) : poller_(poller), outbox_(outbox) {}

  // 0 or an errno; EAGAIN when there are too many.
  int Start(uint32_t stream, const SpawnRequest& request, const WorkloadCgroup& workload,
            uint32_t output_window);
  Command* ByStream(uint32_t stream);
  void OnEvent(const Tag& tag, uint32_t events);
  void OnReaped(pid_t pid, int wait_status);
  void DetachAll();
  // As of one command; also forgets those that are gone.
  bool Pump();
  uint64_t deadline() const;

  void SignalAll(int number);
  std::set<pid_t> Groups() const;
  bool AnyAlive() const { return !by_pid_.empty(); }

 private:
  void RemoveLeftCgroups();

  Poller* poller_;
  Outbox* outbox_;
  uint32_t next_id_ = 1;
  std::map<uint32_t, std::unique_ptr<Command>> commands_;
  std::map<uint32_t, uint32_t> by_stream_;
  std::map<pid_t, uint32_t> by_pid_;  // not reaped
  // Of commands that are gone and have left a process in the background.
  std::vector<CommandCgroup> left_cgroups_;
};

}  // namespace microvm::agent
