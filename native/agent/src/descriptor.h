#pragma once

#include <cstddef>

#include "protocol.h"

namespace microvm::agent {

// With its header one write to a virtio-serial port, which takes 32 KiB at a time.
constexpr size_t kChunk = 32 * 1024 - kHeaderSize;

void SetNonBlocking(int fd);
// Its other end is closed, and there is nothing left to read.
bool AtEnd(int fd);
// What can be read from it now.
size_t BytesIn(int fd);

}  // namespace microvm::agent
