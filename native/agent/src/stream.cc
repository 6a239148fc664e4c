#include "stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "descriptor.h"

namespace microvm::agent {

Stream::Stream(uint32_t id, uint32_t output_window, Outbox* outbox) : id_(id), outbox_(outbox) {
  input_.credit = kInputWindow;
  outputs_[1].type = FrameType::kData2;
  for (Output& output : outputs_) output.credit = output_window;
}

void Stream::TakeInput(UniqueFd fd, InputEnd end_by) {
  SetNonBlocking(fd.Get());
  input_.fd = std::move(fd);
  input_.end_by = end_by;
}

void Stream::TakeOutput(int channel, UniqueFd fd) {
  SetNonBlocking(fd.Get());
  outputs_[channel - 1].fd = std::move(fd);
}

int Stream::fd(int channel) const { return channel == 0 ? input_.fd.Get() : outputs_[channel - 1].fd.Get(); }

bool Stream::OnData(const uint8_t* data, size_t size) {
  const auto cost = static_cast<uint32_t>(size + kHeaderSize);
  if (size == 0 || cost > input_.credit || input_.closing) return false;
  input_.credit -= cost;
  input_.unwritten_cost += cost;
  input_.taken += size;
  if (input_.fd) input_.waiting.Append(data, size);
  PumpInput();
  return true;
}

void Stream::OnEnd() {
  if (input_.closing) return;
  input_.closing = true;
  PumpInput();
}

bool Stream::OnCredit(uint8_t channel, uint32_t bytes) {
  if (channel < 1 || channel >= kChannels) return false;
  Output& output = outputs_[channel - 1];
  output.credit += bytes;
  return bytes > 0 && output.credit <= kMaxWindow;
}

void Stream::OnReady(int channel, uint32_t events) {
  if (channel == 0) {
    input_.ready = true;
    return;
  }
  Output& output = outputs_[channel - 1];
  output.ready = true;
  output.hung_up = output.hung_up || (events & (EPOLLHUP | EPOLLERR)) != 0;
}

void Stream::Open(const Bytes& payload) {
  opened_ = true;
  if (attached_) outbox_->Send(FrameType::kOpened, id_, payload);
}

void Stream::Finish(const Bytes& payload) {
  if (attached_) outbox_->Send(FrameType::kEnded, id_, payload);
  Detach();
}

void Stream::Fail(int error, std::string_view step) {
  if (attached_) outbox_->Fail(id_, error, step);
  Detach();
}

void Stream::Detach() {
  attached_ = false;
  CloseInput(false);
  for (Output& output : outputs_) output.ready = true;
}

void Stream::Release() { attached_ = false; }

void Stream::Attach(uint32_t id) {
  id_ = id;
  attached_ = true;
  // What an earlier stream has brought and nobody has taken yet is in the way of what this one brings.
  const size_t waiting = input_.waiting.size();
  input_.unwritten_cost = waiting == 0 ? 0 : static_cast<uint32_t>(waiting + kHeaderSize);
  input_.written_cost = 0;
  input_.credit = kInputWindow - std::min(kInputWindow, input_.unwritten_cost);
}

void Stream::CloseInput(bool tell_host) {
  if (!tell_host) input_.is_over = true;
  if (!input_.fd) return;
  input_.fd.Reset();
  input_.waiting.Clear();
  if (tell_host && attached_) outbox_->Send(FrameType::kGone, id_);
}

void Stream::PumpInput() {
  // A socket takes nothing before it is connected, and says so in as many ways as there are kinds.
  if (!opened_ && input_.end_by == InputEnd::kShutdown) return;
  while (input_.fd && input_.ready && !input_.waiting.empty()) {
    const ssize_t wrote = write(input_.fd.Get(), input_.waiting.data(), input_.waiting.size());
    if (wrote > 0) {
      input_.last = input_.waiting.data()[wrote - 1];
      input_.waiting.Consume(static_cast<size_t>(wrote));
    } else if (errno == EAGAIN) {
      input_.ready = false;
    } else {
      broken_ = input_.end_by == InputEnd::kShutdown;
      CloseInput(true);
    }
  }
  if (input_.closing && input_.waiting.empty()) EndInput();
  // Given back as a whole when all is written: at most one window is ever kept, and a frame's header need not
  // be split.
  if (input_.waiting.empty() && attached_ && !input_.is_over && !input_.closing) {
    input_.written_cost += input_.unwritten_cost;
    input_.unwritten_cost = 0;
    if (input_.written_cost >= kInputWindow / 4) {
      PayloadWriter payload;
      outbox_->Send(FrameType::kCreditToHost, id_, payload.U8(0).U32(input_.written_cost).bytes());
      input_.credit += input_.written_cost;
      input_.written_cost = 0;
    }
  }
}

// A terminal has no end of its own: its line discipline makes one of a character, at the begin of a line. In
// the middle of a line the first one only hands over the line.
void Stream::EndInput() {
  if (!input_.fd) return;
  termios mode{};
  if (input_.end_by == InputEnd::kTerminal && tcgetattr(input_.fd.Get(), &mode) == 0 &&
      (mode.c_lflag & ICANON) != 0) {
    const uint8_t end[2] = {mode.c_cc[VEOF], mode.c_cc[VEOF]};
    [[maybe_unused]] const ssize_t wrote =
        write(input_.fd.Get(), end, input_.last == '\n' || input_.last == '\r' ? 1 : 2);
  }
  if (input_.end_by == InputEnd::kShutdown) shutdown(input_.fd.Get(), SHUT_WR);
  CloseInput(false);
}

bool Stream::Pump() {
  PumpInput();
  bool more = false;
  for (Output& output : outputs_) {
    if (!output.fd) continue;
    if (!attached_) {
      more = Discard(&output) || more;
    } else if (opened_) {
      more = PumpOutput(&output) || more;
    }
  }
  return more;
}

bool Stream::PumpOutput(Output* output) {
  if (!output->ready || !outbox_->HasRoom()) return false;
  if (output->credit <= kHeaderSize) {
    // No byte may be taken, but whether there is one left can be told.
    if (AtEnd(output->fd.Get())) OnOutputEnd(output, false);
    return false;
  }
  const size_t most = std::min<uint64_t>(output->credit - kHeaderSize, kChunk);
  const ssize_t got = outbox_->SendFrom(output->fd.Get(), output->type, id_, most);
  if (got > 0) {
    const auto size = static_cast<size_t>(got);
    output->credit -= size + kHeaderSize;
    // A short read has emptied a pipe, and the next byte is a new event; not so the end, which may have been
    // told with the bytes. A terminal hands its bytes over in pieces of its own size, and a socket's end is
    // no hang-up.
    if (size < most && !output->hung_up && input_.end_by == InputEnd::kClose) output->ready = false;
    return output->ready;
  }
  if (got < 0 && errno == EAGAIN) {
    output->ready = false;
  } else {
    OnOutputEnd(output, got < 0);
  }
  return false;
}

void Stream::OnOutputEnd(Output* output, bool is_error) {
  output->fd.Reset();
  if (input_.end_by != InputEnd::kShutdown) return;
  if (is_error) {
    broken_ = true;
  } else {
    outbox_->Send(FrameType::kEndToHost, id_);
  }
}

bool Stream::Discard(Output* output) {
  if (!output->ready) return false;
  uint8_t scratch[16384];
  const ssize_t got = read(output->fd.Get(), scratch, sizeof(scratch));
  if (got > 0) return true;
  output->ready = false;
  if (got == 0 || errno != EAGAIN) output->fd.Reset();
  return false;
}

}  // namespace microvm::agent
