#include "outbox.h"

#include <string.h>
#include <unistd.h>

#include <cerrno>

#include "frame.h"

namespace microvm::agent {

void Outbox::Send(FrameType type, uint32_t stream, const Bytes& payload) {
  EncodeHeader(queue_.Extend(kHeaderSize), type, epoch, stream, payload.data(), payload.size());
  queue_.Append(payload.data(), payload.size());
}

void Outbox::SendParts(FrameType type, uint32_t stream, const uint8_t* first, size_t first_size,
                       const uint8_t* second, size_t second_size) {
  const size_t size = first_size + second_size;
  uint8_t* frame = queue_.Extend(kHeaderSize + size);
  if (first_size > 0) memcpy(frame + kHeaderSize, first, first_size);
  if (second_size > 0) memcpy(frame + kHeaderSize + first_size, second, second_size);
  EncodeHeader(frame, type, epoch, stream, frame + kHeaderSize, size);
}

void Outbox::Fail(uint32_t stream, int error, std::string_view step) {
  const char* name = strerrorname_np(error);
  PayloadWriter payload;
  payload.Text(name == nullptr ? "EIO" : name, 32).Text(step, 64);
  Send(FrameType::kFailed, stream, payload.bytes());
}

ssize_t Outbox::SendFrom(int fd, FrameType type, uint32_t stream, size_t max) {
  uint8_t* frame = queue_.Extend(kHeaderSize + max);
  const ssize_t got = read(fd, frame + kHeaderSize, max);
  const int error = errno;
  const size_t size = got > 0 ? static_cast<size_t>(got) : 0;
  if (size > 0) EncodeHeader(frame, type, epoch, stream, frame + kHeaderSize, size);
  queue_.Trim(size > 0 ? max - size : kHeaderSize + max);
  errno = error;
  return got;
}

void Outbox::Begin(const SessionId& session) {
  queue_.Clear();
  queue_.Append(kPreamble.data(), kPreamble.size());
  queue_.Append(session.data(), session.size());
}

}  // namespace microvm::agent
