#pragma once

#include <cstdint>

#include "stream.h"

namespace microvm::agent {

// What one kind of stream does: one file for each kind. Its parts are the descriptors that it has events of;
// parts 0 to 2 are the channels of its stream, higher ones are its own.
class StreamHandler {
 public:
  static constexpr uint8_t kFirstOwnPart = Stream::kChannels;
  static constexpr uint8_t kMostParts = 4;

  StreamHandler(uint32_t id, uint32_t output_window, Outbox* outbox) : stream_(id, output_window, outbox) {}
  virtual ~StreamHandler() = default;
  StreamHandler(const StreamHandler&) = delete;
  StreamHandler& operator=(const StreamHandler&) = delete;

  Stream& stream() { return stream_; }
  const Stream& stream() const { return stream_; }

  // The descriptor of a part and the events of epoll that it waits for; -1 for a part that it does not have.
  virtual int fd(uint8_t part) const { return part < Stream::kChannels ? stream_.fd(part) : -1; }
  virtual uint32_t events(uint8_t part) const;
  virtual void OnReady(uint8_t part, uint32_t events) { stream_.OnReady(part, events); }

  // False: the frame breaks the protocol.
  [[nodiscard]] virtual bool OnCredit(uint8_t channel, uint32_t bytes) {
    return stream_.OnCredit(channel, bytes);
  }
  // The host's reader has all bytes of a channel before this offset. False as above.
  [[nodiscard]] virtual bool OnAck(uint8_t, uint64_t) { return false; }
  // The host's reader leaves, and what it has read goes on without it. False as above.
  [[nodiscard]] virtual bool OnDetach() { return false; }

  enum class Loss : uint8_t {
    kSession,  // the session is over, and its host may come back
    kEpoch     // the guest goes on as another one, of which that host knows nothing
  };
  // Nothing of the host reaches it any more.
  virtual void Lose(Loss) { stream_.Detach(); }

  // The host has given it up: it ends as soon as it can, and says so.
  virtual void Cancel() = 0;
  // The host asks it to be told of a signal: 0 or an errno.
  virtual int Signal(int number) = 0;
  // The window of a terminal has another size. False: it has no terminal.
  virtual bool Resize(uint16_t columns, uint16_t rows) = 0;

  // The connection that waits under this number; none by default.
  virtual UniqueFd TakeWaiting(uint32_t) { return {}; }

  // Moves what can be moved now; true when there is more that could go on at once.
  virtual bool Pump() = 0;
  // When `Pump` is to be called even if nothing happens.
  virtual uint64_t deadline() const = 0;
  // Nothing is left of it: its owner can forget it.
  virtual bool Gone() const = 0;

 protected:
  Stream stream_;
};

}  // namespace microvm::agent
