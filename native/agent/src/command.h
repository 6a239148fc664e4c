#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "attach_request.h"
#include "command_cgroup.h"
#include "command_output.h"
#include "spawn.h"
#include "stream_handler.h"

namespace microvm::agent {

// One command: its process, the rings with its last output, and the stream of the host that reads it, if one
// does. It outlives its readers. While a reader that has lost its session may come back, the command is held
// up rather than that a byte is lost; without one its rings overwrite the oldest. When it has ended, its exit
// and its last output are kept until a reader has both, or its table forgets it.
class Command final : public StreamHandler {
 public:
  // What a command needs of its table.
  struct Parts {
    Outbox* outbox;
    RingBudget* budget;
    uint32_t output_window;
    uint64_t await_ms;
    // Gets its cgroup when it has ended and nothing holds its outputs.
    std::function<void(CommandCgroup)> on_over;
  };
  Command(uint32_t stream, const SpawnRequest& request, Child child, const Parts& parts);

  // Its cgroup from now on, if it has one.
  void Own(CommandCgroup cgroup) { cgroup_ = std::move(cgroup); }
  CommandCgroup TakeCgroup() { return std::move(cgroup_); }

  uint64_t id() const { return id_; }
  pid_t pid() const { return pid_; }
  // The image's own process, and it runs.
  bool RunsMain() const { return is_main_ && !reaped_; }
  void OnReaped(int wait_status);

  // It has ended, and nothing that it started holds its outputs.
  bool IsOver() const { return ended_ && !HasOutput(); }
  // Nobody can ask for it any more.
  bool forgotten() const { return forgotten_; }
  void Forget();
  // It has ended and is kept for a reader who is not expected; since when, and how many bytes.
  bool IsKept() const { return ended_ && !forgotten_ && !stream_.attached() && told_ == 0 && !IsAwaited(); }
  uint64_t kept_since() const { return kept_since_; }
  size_t kept_bytes() const { return outputs_[0].size() + outputs_[1].size(); }

  // A reader comes. Answers 0 or an errno, and then nothing has changed.
  int Attach(uint32_t stream, const AttachRequest& request);
  // The stream by which the host was told of the end, which it has not confirmed; 0: there is none.
  uint32_t told() const { return told_; }
  void WriteEntry(PayloadWriter* out) const;

  int fd(uint8_t part) const override;
  void OnReady(uint8_t part, uint32_t events) override;
  [[nodiscard]] bool OnCredit(uint8_t channel, uint32_t bytes) override;
  [[nodiscard]] bool OnAck(uint8_t channel, uint64_t offset) override;
  [[nodiscard]] bool OnDetach() override;
  void Lose(Loss loss) override;
  void Cancel() override;
  // To all of its cgroup, where it has one, else to its process group. 0 or an errno.
  int Signal(int number) override;
  bool Resize(uint16_t columns, uint16_t rows) override;
  bool Pump() override;
  uint64_t deadline() const override;
  bool Gone() const override;

 private:
  static constexpr uint8_t kStatusPart = kFirstOwnPart;

  int SignalGroupOf(int number) const;
  void ReadStatus();
  Bytes Opened() const;
  bool HasOutput() const { return outputs_[0].open() || outputs_[1].open(); }
  bool IsAwaited() const { return awaited_until_ != UINT64_MAX; }
  CommandOutput::When When() const;
  void BecomeUnattended();
  void MaybeEnd();
  void MaybeTell();
  uint8_t Flags() const;

  uint64_t id_;
  pid_t pid_;
  uint64_t started_us_;
  std::string text_;
  Outbox* outbox_;
  std::function<void(CommandCgroup)> on_over_;
  UniqueFd status_;
  bool has_terminal_;
  bool is_main_;
  CommandCgroup cgroup_;
  CommandOutput outputs_[2];  // channels 1 and 2
  uint64_t await_ms_;
  bool detached_;
  // A reader of the output is there, or may come back.
  bool is_read_;
  bool is_attachment_ = false;
  uint64_t awaited_until_ = UINT64_MAX;
  uint32_t told_ = 0;
  bool reaped_ = false;
  bool cancelled_ = false;
  bool ended_ = false;
  bool forgotten_ = false;
  int wait_status_ = 0;
  uint64_t grace_until_ = UINT64_MAX;
  uint64_t kept_since_ = UINT64_MAX;
};

}  // namespace microvm::agent
