#include "file_channel.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace microvm::agent {
namespace {

void PutHead(uint8_t* at, FileAnswer type, size_t body) {
  const auto length = static_cast<uint32_t>(body + 1);
  std::memcpy(at, &length, sizeof(length));
  at[sizeof(length)] = static_cast<uint8_t>(type);
}

}  // namespace

bool WriteAll(int fd, const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const ssize_t wrote = write(fd, at, size);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    at += wrote;
    size -= static_cast<size_t>(wrote);
  }
  return true;
}

FileChannel::FileChannel() : in_(kMaxFileMessage + sizeof(uint32_t)), out_(kHead + kMaxFileData) {}

// False at the end of the input before so many bytes are there.
bool FileChannel::Fill(size_t need) {
  if (from_ + need > in_.size()) {
    std::memmove(in_.data(), in_.data() + from_, to_ - from_);
    to_ -= from_;
    from_ = 0;
  }
  while (to_ - from_ < need) {
    const ssize_t got = read(0, in_.data() + to_, in_.size() - to_);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to_ += static_cast<size_t>(got);
  }
  return true;
}

FileChannel::Got FileChannel::ReceiveMessage(uint8_t* type, const uint8_t** body, size_t* size) {
  if (from_ == to_) from_ = to_ = 0;
  uint32_t length = 0;
  // An input that ends in the middle of a message was given up by the host.
  if (!Fill(sizeof(length))) return Got::kEnd;
  std::memcpy(&length, in_.data() + from_, sizeof(length));
  if (length < 1 || length > kMaxFileMessage) return Got::kBroken;
  if (!Fill(sizeof(length) + length)) return Got::kEnd;
  const uint8_t* message = in_.data() + from_ + sizeof(length);
  from_ += sizeof(length) + length;
  *type = message[0];
  *body = message + 1;
  *size = length - 1;
  return Got::kMessage;
}

bool FileChannel::Drain() {
  from_ = to_ = 0;
  for (;;) {
    const ssize_t got = read(0, in_.data(), in_.size());
    if (got == 0 || (got < 0 && errno != EINTR)) return true;
  }
}

FileChannel::Got FileChannel::Receive(FileRequest* request) {
  uint8_t type = 0;
  const uint8_t* body = nullptr;
  size_t size = 0;
  const Got got = ReceiveMessage(&type, &body, &size);
  *request = {};
  if (got != Got::kMessage) return got;
  return DecodeFileRequest(type, body, size, request) ? Got::kMessage : Got::kBroken;
}

bool FileChannel::Send(FileAnswer type, const void* body, size_t size) {
  uint8_t head[kHead];
  PutHead(head, type, size);
  if (size > kMaxFileData) return WriteAll(1, head, kHead) && WriteAll(1, body, size);
  Bytes message(head, head + kHead);
  const auto* bytes = static_cast<const uint8_t*>(body);
  message.insert(message.end(), bytes, bytes + size);
  return WriteAll(1, message.data(), message.size());
}

bool FileChannel::SendData(size_t size) {
  PutHead(out_.data(), FileAnswer::kData, size);
  return WriteAll(1, out_.data(), kHead + size);
}

bool FileChannel::Answer(const FileFailure& failure, const Bytes& done) {
  if (!failure) return Send(FileAnswer::kDone, done);
  PayloadWriter out;
  out.U16(static_cast<uint16_t>(failure.error)).Text(failure.call, 32).Text(failure.path, kMaxFilePath);
  return Send(FileAnswer::kFailed, out.bytes());
}

}  // namespace microvm::agent
