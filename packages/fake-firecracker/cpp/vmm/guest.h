#pragma once

#include <functional>
#include <string>

#include "guest/shell.h"
#include "process/loop.h"

namespace microvm::fake {

// The VMM's side of its guest: boots it, stops it, lets it go on, takes its console.
class Guest {
 public:
  enum class End { kReset, kPowerOff, kPanic };
  struct Events {
    std::function<void()> up;
    // Once; the guest runs no more. `reason` of a panic.
    std::function<void(End end, const std::string& reason)> end;
    std::function<void(std::string_view text)> console;
  };

  Guest(Loop* loop, Shell shell, Events events);

  // 0 or an errno.
  int Boot(const BootMessage& boot, int archive_fd);
  // Both wait until it is so.
  LifeMessage Pause();
  // As of the last pause.
  const LifeMessage& life() const { return life_; }
  void Resume();
  void CtrlAltDel() { Send(control_.Get(), Signal::kCtrlAltDel); }
  // A connection to the agent; invalid while it does not listen.
  UniqueFd ConnectAgent();
  // What was reaped: true when it was the guest.
  void OnChildEnd(int status);
  void DrainConsole();

  bool is_up() const { return root_ && !ended_; }
  bool ended() const { return ended_; }
  // The root folder, for a snapshot.
  int root() const { return root_.Get(); }

 private:
  void OnControl();
  void Handle(Signal signal, const std::string& body, UniqueFd fd);
  void Ended(End end, const std::string& reason);

  Loop* loop_;
  UniqueFd control_;
  UniqueFd console_;
  std::string agent_address_;
  UniqueFd root_;
  Events events_;
  LifeMessage life_;
  bool ended_ = false;
  bool heard_pause_ = false;
  bool heard_resume_ = false;
};

}  // namespace microvm::fake
