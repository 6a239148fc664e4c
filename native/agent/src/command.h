#pragma once

#include <cstdint>
#include <utility>

#include "command_cgroup.h"
#include "spawn.h"
#include "stream_handler.h"

namespace microvm::agent {

// One command: its process and its stream to the host. Detached, it runs on and what it writes is thrown
// away.
class Command final : public StreamHandler {
 public:
  Command(uint32_t stream, Child child, uint32_t output_window, Outbox* outbox);

  // Its cgroup from now on, if it has one.
  void Own(CommandCgroup cgroup) { cgroup_ = std::move(cgroup); }
  CommandCgroup TakeCgroup() { return std::move(cgroup_); }

  pid_t pid() const { return pid_; }
  void OnReaped(int wait_status);

  int fd(uint8_t part) const override;
  void OnReady(uint8_t part, uint32_t events) override;
  void Cancel() override;
  // To all of its cgroup, where it has one, else to its process group. 0 or an errno.
  int Signal(int number) override;
  bool Resize(uint16_t columns, uint16_t rows) override;
  bool Pump() override;
  uint64_t deadline() const override { return stream_.attached() ? deadline_ : kNoDeadline; }
  bool Gone() const override { return reaped_ && !stream_.attached() && !stream_.HasOutput(); }

 private:
  static constexpr uint8_t kStatusPart = kFirstOwnPart;
  static constexpr uint64_t kNoDeadline = UINT64_MAX;

  int SignalGroupOf(int number) const;
  void ReadStatus();
  void MaybeEnd();

  pid_t pid_;
  UniqueFd status_;
  bool has_terminal_;
  CommandCgroup cgroup_;
  bool reaped_ = false;
  bool cancelled_ = false;
  int wait_status_ = 0;
  uint64_t deadline_ = kNoDeadline;
};

}  // namespace microvm::agent
