#pragma once

#include <string>

#include "core/handles.h"

namespace microvm::disk {

// A loop device upon a file. It is detached once neither this object nor a mount has it.
struct LoopDevice {
  UniqueFd fd;
  unsigned number = 0;
};

// Without `fd`: errno says why.
LoopDevice AttachLoop(const std::string& file);

}  // namespace microvm::disk
