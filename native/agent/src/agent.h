#pragma once

#include "channel.h"
#include "command_table.h"
#include "frame.h"
#include "freezer.h"
#include "outbox.h"
#include "poller.h"
#include "power.h"
#include "secret_store.h"
#include "session.h"

namespace microvm::agent {

// The agent's one thread: signals, the channel and the commands in one loop.
class Agent {
 public:
  explicit Agent(const Power::Options& options);

  Channel& channel() { return channel_; }
  Freezer& freezer() { return freezer_; }
  CommandTable& commands() { return commands_; }
  SecretStore& secrets() { return secrets_; }

  // The number of this life of the guest, and whether its workload is frozen.
  uint32_t epoch() const { return outbox_.epoch; }
  bool frozen() const { return freezer_.frozen(); }
  // Goes on with a life that began elsewhere; only before Run.
  void Continue(uint32_t epoch, bool frozen);

  // Ends only with the descriptor channel, or by Power.
  int Run();

 private:
  void Dispatch(const Tag& tag, uint32_t events);
  void OnSignals();
  void OnSignal(uint32_t number);
  void Reap();
  void Forget();
  void MoveAll();
  void DecodeBuffered();
  void FlushAndFinish();
  bool Work();
  int TimeoutMs() const;

  Poller poller_;
  UniqueFd signals_;
  Outbox outbox_;
  Decoder decoder_;
  bool decoder_pending_ = false;  // the decoder may hold a whole frame that was not looked at
  bool busy_ = false;             // the last turns left work that can go on at once
  Freezer freezer_;
  StreamTable streams_;
  CommandTable commands_;
  Power power_;
  SecretStore secrets_;
  Channel channel_;
  Session session_;
};

}  // namespace microvm::agent
