#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "image_config.h"
#include "stream_table.h"

namespace microvm::agent {

// All commands that have a process, an open pipe or an end that nobody was told of, of this session and of
// earlier ones. The stream table owns them.
class CommandTable {
 public:
  CommandTable(StreamTable* streams, Outbox* outbox);

  // How long a command is held up for a reader that has lost its session; a minute where nobody says it.
  void AwaitReadersFor(uint64_t milliseconds) { await_ms_ = milliseconds; }

  // `error` 0, or what failed; EAGAIN when there are too many.
  SpawnFailure Start(uint32_t stream, const SpawnRequest& request, const WorkloadCgroup& workload,
                     uint32_t output_window);
  // A reader comes. Answers 0 or an errno.
  int Attach(uint32_t stream, const AttachRequest& request);
  // Answers 0 or an errno.
  int Signal(uint64_t id, int number);
  // The host knows of the end of which it was told by this stream.
  void Confirm(uint32_t stream);
  // The answer to a request for those from this number on, in the order of their starts: the number to ask
  // for next, 0 when these were the last, and what they are.
  void List(uint32_t from, PayloadWriter* out) const;
  // Forgets the oldest ends, where more are kept than may.
  void LimitKept();
  void OnReaped(pid_t pid, int wait_status);

  // What commands get over the defaults, NAME=value, and over what their image says, from the next one on.
  void SetEnvironment(std::vector<std::string> environment) { environment_ = std::move(environment); }
  // What the VM's image says of commands, from the next one on.
  void SetImage(ImageConfig image) { image_ = std::move(image); }
  const ImageConfig& image() const { return image_; }

  void SignalAll(int number);
  // The way down of the image's own processes: each gets the signal that the image names, and all other
  // commands get `number`. False, and nothing was sent: there is no such process, or the image names no
  // signal.
  bool StopMain(int number);
  bool RunsMain() const;
  std::set<pid_t> Groups() const;
  bool AnyAlive() const { return !by_pid_.empty(); }

 private:
  void OnGone(uint32_t id);
  void Leave(CommandCgroup cgroup);
  // By its own id; nullptr.
  std::pair<const uint32_t, Command*>* Find(uint64_t id);
  void RemoveLeftCgroups();

  StreamTable* streams_;
  Outbox* outbox_;
  std::vector<std::string> environment_;
  ImageConfig image_;
  RingBudget budget_{RingBudget::OfThisGuest()};
  // A snapshot is over in that time, and an owner is started again.
  uint64_t await_ms_ = 60 * 1000;
  uint32_t last_cgroup_ = 0;
  std::map<uint32_t, Command*> commands_;  // by their number in the stream table
  std::map<pid_t, Command*> by_pid_;       // not reaped
  // Of commands that are gone and have left a process in the background.
  std::vector<CommandCgroup> left_cgroups_;
};

}  // namespace microvm::agent
