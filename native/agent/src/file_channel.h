#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "file_request.h"
#include "wire.h"

namespace microvm::agent {

// Why a call on files failed, as Node's errors say it. `path` is empty where it is the request's own.
struct FileFailure {
  int error = 0;  // 0: it did not fail
  const char* call = "";
  std::string path;

  explicit operator bool() const { return error != 0; }
};

inline FileFailure Success() { return {}; }
// By errno.
FileFailure Failed(const char* call, std::string path = {});

// The messages of a file worker, on its standard input and output. Both calls block.
class FileChannel {
 public:
  enum class Got : uint8_t { kMessage, kEnd, kBroken };

  FileChannel();

  // The next request; its views are good until the next call.
  Got Receive(FileRequest* request);
  // Whether a request lies ready, or the host has ended: then `Receive` does not block for long.
  int input() const { return 0; }
  bool HasBuffered() const { return to_ > from_; }

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
