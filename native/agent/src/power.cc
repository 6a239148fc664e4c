#include "power.h"

#include <signal.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "clock.h"
#include "file_systems.h"
#include "image_init.h"
#include "proc_file.h"
#include "process_signal.h"

namespace microvm::agent {
namespace {

// After SIGKILL: a process in uninterruptible sleep must not hold the power-off for ever.
constexpr uint64_t kKillWaitMs = 2000;

const char* ReasonName(FarewellReason reason) {
  switch (reason) {
    case FarewellReason::kPowerOff:
      return "power-off";
    case FarewellReason::kReboot:
      return "reboot";
    case FarewellReason::kPanic:
      return "panic";
    case FarewellReason::kShutdown:
      return "shutdown";
  }
  return "shutdown";
}

}  // namespace

void Power::Begin(FarewellReason reason, PowerAction action, uint32_t grace_ms) {
  if (begun()) return;
  reason_ = reason;
  action_ = action;
  if (options_.is_beside_init) {
    SayFarewell();
    return;
  }
  if (freezer_->frozen()) {
    // A frozen workload may be one that was restored and not repaired: it does not run another step.
    SignalAll(SIGKILL);
    phase_ = Phase::kKilling;
    deadline_ = NowMs() + kKillWaitMs;
    return;
  }
  stops_main_ = commands_->StopMain(SIGTERM);
  if (!stops_main_) SignalAll(SIGTERM);
  SignalAll(SIGCONT);
  phase_ = Phase::kTerminating;
  deadline_ = NowMs() + grace_ms;
}

void Power::SignalAll(int number) {
  if (OwnsNamespace()) {
    SignalNamespace(number);
  } else {
    commands_->SignalAll(number);
  }
}

bool Power::Tick(uint64_t now) {
  if (phase_ == Phase::kUp) return false;
  if (phase_ == Phase::kSaidFarewell) return true;
  if (stops_main_ && phase_ == Phase::kTerminating && !commands_->RunsMain()) {
    // What it has left behind, and what was no command's.
    stops_main_ = false;
    SignalAll(SIGTERM);
  }
  const bool all_gone = no_children_ && !commands_->AnyAlive();
  if (phase_ == Phase::kTerminating && !all_gone && now >= deadline_) {
    SignalAll(SIGKILL);
    phase_ = Phase::kKilling;
    deadline_ = now + kKillWaitMs;
    return false;
  }
  if (!all_gone && now < deadline_) return false;
  // Output and exit of the commands that ended go before the farewell.
  while (streams_->Pump()) {
  }
  SayFarewell();
  return true;
}

void Power::SayFarewell() {
  phase_ = Phase::kSaidFarewell;
  deadline_ = UINT64_MAX;
  if (options_.is_init) ReleaseFileSystems(options_.below_root);
  PayloadWriter payload;
  payload.U8(static_cast<uint8_t>(reason_)).U8(static_cast<uint8_t>(action_));
  outbox_->Send(FrameType::kFarewell, 0, payload.bytes());
  Log("microvm-agent: farewell %s", ReasonName(reason_));
}

// A frozen init cannot do anything, and neither it nor its services run another step.
void Power::FinishBesideInit() {
  const bool is_reboot = action_ == PowerAction::kReboot || options_.power_off_is_reboot;
  if (!freezer_->frozen()) {
    AskInit(is_reboot);
    _exit(0);
  }
  sync();
  reboot(is_reboot ? RB_AUTOBOOT : RB_POWER_OFF);
  _exit(0);
}

void Power::Finish() {
  if (options_.is_beside_init) FinishBesideInit();
  if (getpid() == 1) {
    const bool off = action_ == PowerAction::kPowerOff && !options_.power_off_is_reboot;
    reboot(off ? RB_POWER_OFF : RB_AUTOBOOT);
    // Without the capability there is nothing left to do but to end: as init this panics, which a VMM also
    // takes for an end.
  }
  _exit(0);
}

}  // namespace microvm::agent
