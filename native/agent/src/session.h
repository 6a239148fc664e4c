#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "command_table.h"
#include "frame.h"
#include "freezer.h"
#include "outbox.h"
#include "power.h"
#include "secret_store.h"
#include "stream_opener.h"
#include "stream_table.h"
#include "wire.h"

namespace microvm::agent {

// The host's side of the conversation as the agent sees it: from one HELLO to the next.
class Session {
 public:
  // What a session works with, of its agent.
  struct Parts {
    bool is_init;
    Outbox* outbox;
    StreamTable* streams;
    CommandTable* commands;
    Freezer* freezer;
    Power* power;
    SecretStore* secrets;
  };
  explicit Session(const Parts& parts);

  void OnMark(const SessionId& session);
  // False: the frame broke the protocol, `problem()` says how, and the session is over.
  [[nodiscard]] bool OnFrame(const Frame& frame);
  // Ends it: streams are detached. `problem`, if any, is told to the host.
  void Drop(const char* problem);

  void Tick(uint64_t now);
  uint64_t deadline() const { return freezing_ ? freezing_->next_look : UINT64_MAX; }
  const char* problem() const { return problem_; }

 private:
  struct Freezing {
    uint32_t stream;
    uint64_t until;
    uint64_t next_look;
    uint64_t next_attempt;
  };
  // A message whose other frames are still to come.
  struct PartialMessage {
    FrameType type;
    uint32_t stream;
    Bytes body;
  };

  bool Broken(const char* problem) {
    problem_ = problem;
    return false;
  }
  bool OnHello(const Frame& frame);
  bool OnRequest(const Frame& frame, PayloadReader* in);
  bool OnStreamFrame(const Frame& frame, PayloadReader* in);
  // A frame of a message that may have several.
  bool OnPart(const Frame& frame, size_t longest);
  // A message that has come whole.
  bool OnMessage(FrameType type, uint32_t stream, const Bytes& body);
  bool OnSetEnv(uint32_t stream, PayloadReader* in);
  bool OnSetImage(uint32_t stream, PayloadReader* in);
  bool OnSecrets(uint32_t stream, PayloadReader* in);
  void ForgetBegun();
  bool OnSignal(uint32_t stream, PayloadReader* in);
  bool OnListCommands(uint32_t stream, PayloadReader* in);
  bool OnFreeze(uint32_t stream, PayloadReader* in);
  int FreezeAgain(uint64_t now);
  bool OnThaw(uint32_t stream, PayloadReader* in);
  bool OnSetClock(uint32_t stream, PayloadReader* in);
  bool OnShutdown(uint32_t stream, PayloadReader* in);
  bool OnMetrics(uint32_t stream, PayloadReader* in);
  void Answer(uint32_t stream, int error, const char* step);
  void WriteInfo(PayloadWriter* out) const;

  bool is_init_;
  Outbox* outbox_;
  StreamTable* streams_;
  CommandTable* commands_;
  Freezer* freezer_;
  Power* power_;
  SecretStore* secrets_;
  StreamOpener opener_;
  std::string kernel_release_;

  SessionId id_{};
  bool awaiting_hello_ = false;
  bool open_ = false;
  uint32_t last_stream_ = 0;
  std::optional<PartialMessage> begun_;
  std::optional<Freezing> freezing_;
  const char* problem_ = "";
};

}  // namespace microvm::agent
