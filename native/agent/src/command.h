#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "byte_queue.h"
#include "command_cgroup.h"
#include "outbox.h"
#include "spawn.h"

namespace microvm::agent {

// One command: its process, its three pipes and, while attached, its stream to the host. Detached, it runs on
// and what it writes is thrown away. All descriptors are registered edge-triggered, so each has a flag that
// says whether it may be ready.
class Command {
 public:
  enum class Pipe : uint8_t { kStdin, kStdout, kStderr, kStatus };

  Command(uint32_t stream, Child child, uint32_t output_window, Outbox* outbox);

  // Its cgroup from now on, if it has one.
  void Own(CommandCgroup cgroup) { cgroup_ = std::move(cgroup); }
  CommandCgroup TakeCgroup() { return std::move(cgroup_); }

  uint32_t stream() const { return stream_; }
  pid_t pid() const { return child_.pid; }
  bool attached() const { return attached_; }
  int fd(Pipe pipe) const;

  void OnReady(Pipe pipe, uint32_t events);
  void OnReaped(int wait_status);

  // From the host; false: it breaks the protocol.
  [[nodiscard]] bool OnStdin(const uint8_t* data, size_t size);
  void OnStdinClose();
  [[nodiscard]] bool OnCredit(uint8_t channel, uint32_t bytes);
  // To its process group; SIGKILL to all of its cgroup, where it has one. 0 or an errno.
  int Signal(int number);
  void Cancel();
  void Detach();

  // Moves what can be moved now; true when there is more that could go on at once.
  bool Pump();
  // When `Pump` is to be called even if nothing happens.
  uint64_t deadline() const { return attached_ ? deadline_ : kNoDeadline; }
  // Nothing is left of it: the owner can forget it.
  bool Gone() const { return reaped_ && !attached_ && !outputs_[0].fd.valid() && !outputs_[1].fd.valid(); }

 private:
  struct Output {
    UniqueFd fd;
    FrameType type = FrameType::kStdout;
    bool ready = false;
    bool hung_up = false;
    uint64_t credit = 0;
    size_t owed =
        0;  // bytes that lay in the pipe when the command ended: they are sent, however long the host takes

    void OnReady(uint32_t events);
  };

  int SignalProcesses(int number) const;
  void ReadStatus();
  bool PumpOutput(Output* output);
  bool Discard(Output* output);
  void PumpStdin();
  void CloseStdin(bool tell_host);
  void MaybeExit();

  static constexpr uint64_t kNoDeadline = UINT64_MAX;

  uint32_t stream_;
  Child child_;
  Outbox* outbox_;
  CommandCgroup cgroup_;
  Output outputs_[2];
  ByteQueue input_;
  uint32_t input_credit_;        // what the host may still send
  uint32_t input_returned_ = 0;  // cost of what was written, not yet given back
  uint32_t input_unwritten_cost_ = 0;
  bool input_ready_ = true;
  bool input_closing_ = false;
  bool attached_ = true;
  bool started_ = false;
  bool reaped_ = false;
  bool cancelled_ = false;
  int wait_status_ = 0;
  uint64_t deadline_ = kNoDeadline;
};

}  // namespace microvm::agent
