#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "file_failure.h"
#include "file_request.h"
#include "wire.h"

namespace microvm::agent {

// The messages of a file worker, on its standard input and output. Both calls block.
class FileChannel {
 public:
  enum class Got : uint8_t { kMessage, kEnd, kBroken };

  FileChannel();

  // Both answer views that are good until the next call.
  Got Receive(FileRequest* request);
  Got ReceiveMessage(uint8_t* type, const uint8_t** body, size_t* size);

  // Reads and throws away what the host still sends, to its end.
  bool Drain();

  // All answer false when nobody listens any more.
  bool Send(FileAnswer type, const void* body, size_t size);
  bool Send(FileAnswer type, const Bytes& body = {}) { return Send(type, body.data(), body.size()); }
  bool Answer(const FileFailure& failure, const Bytes& done = {});

  // Room for one DATA message, whose bytes are written to `DataSpace` before `SendData`: nothing is copied.
  uint8_t* DataSpace() { return out_.data() + kHead; }
  bool SendData(size_t size);

 private:
  static constexpr size_t kHead = 5;

  bool Fill(size_t need);

  std::vector<uint8_t> in_;
  size_t from_ = 0;
  size_t to_ = 0;
  bool at_end_ = false;
  std::vector<uint8_t> out_;
};

// Writes all of it to a descriptor; false with errno when that failed.
bool WriteAll(int fd, const void* data, size_t size);

}  // namespace microvm::agent
