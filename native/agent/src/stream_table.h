#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "poller.h"
#include "stream_handler.h"

namespace microvm::agent {

// All streams that are attached to the host, and what earlier ones have left: a command that runs on.
class StreamTable {
 public:
  explicit StreamTable(Poller* poller) : poller_(poller) {}

  // Who is told of each entry that is about to be forgotten, because nothing of it is left.
  void TellGone(std::function<void(uint32_t id)> on_gone) { on_gone_ = std::move(on_gone); }

  // EAGAIN when there are too many, else 0: to be asked before anything is made for a new one.
  int CheckRoom() const;
  // Answers the number of the new entry; 0 with errno when its descriptors cannot be watched, and then
  // nothing of it is kept.
  uint32_t Add(std::unique_ptr<StreamHandler> handler);

  StreamHandler* ByStream(uint32_t stream);
  // Whether another stream may be attached at all: EAGAIN when there are too many, else 0.
  int CheckAttach() const;
  // The frames of this stream are those of an entry that is there already.
  void Attach(uint32_t id, uint32_t stream) { by_stream_[stream] = id; }
  void OnEvent(const Tag& tag, uint32_t events);
  void LoseAll(StreamHandler::Loss loss);
  // As of one handler.
  bool Pump();
  uint64_t deadline() const;

 private:
  Poller* poller_;
  std::function<void(uint32_t id)> on_gone_;
  uint32_t last_id_ = 0;
  std::map<uint32_t, std::unique_ptr<StreamHandler>> handlers_;
  std::map<uint32_t, uint32_t> by_stream_;
};

}  // namespace microvm::agent
