#pragma once

#include <cstdint>
#include <string_view>

#include "core/handles.h"
#include "core/image/halt.h"
#include "core/image/image_status.h"

namespace microvm::core::image {

// The descriptor that a stream is written to. It may be a pipe whose reader is slow, or dead (EPIPE, without
// a SIGPIPE), and a halt ends a write that waits. One thread.
class OutputPipe {
 public:
  // Makes the descriptor non-blocking; it stays the caller's.
  OutputPipe(int fd, const Halt* halt);
  OutputPipe(const OutputPipe&) = delete;
  OutputPipe& operator=(const OutputPipe&) = delete;
  ~OutputPipe();

  ImageStatus Write(std::string_view bytes);
  uint64_t Count() const { return count_; }

 private:
  ImageStatus Await();

  const int fd_;
  const Halt* halt_;
  uint64_t count_ = 0;
  bool was_blocked_ = false;
};

}  // namespace microvm::core::image
