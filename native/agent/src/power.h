#pragma once

#include <cstdint>
#include <string>

#include "command_table.h"
#include "freezer.h"
#include "outbox.h"
#include "protocol.h"

namespace microvm::agent {

// The way down: SIGTERM, a bounded wait, SIGKILL, file systems, farewell, reboot(2). An image's own process
// gets the signal that the image names, and what is no command gets SIGTERM when that process has ended.
class Power {
 public:
  struct Options {
    bool is_init = false;  // the guest's init: file systems are ours to sync and unmount
    // Process 1 is the image's init: it ends the guest, and file systems are its business.
    bool is_beside_init = false;
    bool power_off_is_reboot = false;  // the VMM has no power-off device and ends on a reset
    std::string below_root;            // see ReleaseFileSystems
  };

  Power(const Options& options, Outbox* outbox, StreamTable* streams, CommandTable* commands,
        Freezer* freezer)
      : options_(options), outbox_(outbox), streams_(streams), commands_(commands), freezer_(freezer) {}

  void Begin(FarewellReason reason, PowerAction action, uint32_t grace_ms);
  bool begun() const { return phase_ != Phase::kUp; }

  // No child is left (waitpid answered ECHILD).
  void OnNoChildren() { no_children_ = begun(); }

  // True once the farewell is queued: then flush what waits and call `Finish`.
  bool Tick(uint64_t now);
  uint64_t deadline() const { return deadline_; }

  // The last step; does not return.
  [[noreturn]] void Finish();

 private:
  enum class Phase { kUp, kTerminating, kKilling, kSaidFarewell };

  void SignalAll(int number);
  void SayFarewell();
  [[noreturn]] void FinishBesideInit();

  Options options_;
  Outbox* outbox_;
  StreamTable* streams_;
  CommandTable* commands_;
  Freezer* freezer_;
  Phase phase_ = Phase::kUp;
  FarewellReason reason_ = FarewellReason::kShutdown;
  PowerAction action_ = PowerAction::kPowerOff;
  bool no_children_ = false;
  bool stops_main_ = false;  // an image's own process was told to stop, and runs
  uint64_t deadline_ = UINT64_MAX;
};

}  // namespace microvm::agent
