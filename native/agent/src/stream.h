#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "byte_queue.h"
#include "outbox.h"
#include "protocol.h"
#include "unique_fd.h"
#include "wire.h"

namespace microvm::agent {

// One byte stream between the host and descriptors of the guest, whatever it is for. Channel 0 takes what the
// host sends to a descriptor, channels 1 and 2 take what descriptors give to the host; each channel has its
// own credit. Detached, the host has no part in it any more: its input is closed and its output is thrown
// away.
//
// The descriptors are registered edge-triggered, so each has a flag that says whether it may be ready. Two
// channels that are one socket or one terminal have a duplicate of its descriptor each.
class Stream {
 public:
  static constexpr int kChannels = 3;

  // How the descriptor of channel 0 is told that the host sends no more.
  // `kShutdown` is a socket: it ends one direction, the host is told of the end
  // of the other by END, and an error of either breaks the stream.
  enum class InputEnd : uint8_t { kClose, kTerminal, kShutdown };

  Stream(uint32_t id, uint32_t output_window, Outbox* outbox);

  // Both make the descriptor non-blocking; it is the stream's from here on.
  void TakeInput(UniqueFd fd, InputEnd end_by);
  void TakeOutput(int channel, UniqueFd fd);

  uint32_t id() const { return id_; }
  bool attached() const { return attached_; }
  bool opened() const { return opened_; }
  // A socket has failed in one of its directions.
  bool broken() const { return broken_; }
  // -1 when the channel has none, or has it no more.
  int fd(int channel) const;

  // From the host. False: the frame breaks the protocol.
  [[nodiscard]] bool OnData(const uint8_t* data, size_t size);
  void OnEnd();
  [[nodiscard]] bool OnCredit(uint8_t channel, uint32_t bytes);

  // The descriptor of a channel has had these events of epoll.
  void OnReady(int channel, uint32_t events);

  // Tells the host that the stream is open; output is sent from then on.
  void Open(const Bytes& payload);
  // The last frames of a stream: it is detached by them.
  void Finish(const Bytes& payload);
  void Fail(int error, std::string_view step);
  void Detach();
  // The session is gone and its host may come back: the descriptors wait for it, and frames go nowhere.
  void Release();
  // A stream of this session goes on with what a released one has left.
  void Attach(uint32_t id);

  // How many bytes of channel 0 were taken from the host, whether its END was, whether somebody reads them
  // still, and what the host may send.
  uint64_t input_taken() const { return input_.taken; }
  bool input_ended() const { return input_.closing; }
  bool input_gone() const { return !input_.fd && !input_.closing; }
  uint32_t input_credit() const { return input_.credit; }

  // Nothing more can be written to the descriptor of channel 0.
  void CloseInput() { CloseInput(false); }
  bool HasOutput() const { return outputs_[0].fd || outputs_[1].fd; }

  // Moves what can be moved now; true when there is more that could go on at once.
  bool Pump();

 private:
  struct Input {
    UniqueFd fd;
    InputEnd end_by = InputEnd::kClose;
    ByteQueue waiting;
    uint64_t taken = 0;
    uint32_t credit;  // what the host may still send
    uint32_t unwritten_cost = 0;
    uint32_t written_cost = 0;  // of what was written, not yet given back
    uint8_t last = '\n';
    bool ready = true;
    bool closing = false;
    bool is_over = false;  // no credit is given any more
  };
  struct Output {
    UniqueFd fd;
    FrameType type = FrameType::kData1;
    bool ready = false;
    bool hung_up = false;
    uint64_t credit = 0;
  };

  void CloseInput(bool tell_host);
  void OnOutputEnd(Output* output, bool is_error);
  void PumpInput();
  void EndInput();
  bool PumpOutput(Output* output);
  bool Discard(Output* output);

  uint32_t id_;
  Outbox* outbox_;
  Input input_;
  Output outputs_[kChannels - 1];
  bool attached_ = true;
  bool opened_ = false;
  bool broken_ = false;
};

}  // namespace microvm::agent
