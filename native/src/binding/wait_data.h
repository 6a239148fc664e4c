#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "core/wait/socket_listener.h"
#include "core/wait/wait.h"

namespace microvm::binding {

// The waits of one JavaScript environment, by number; JavaScript thread only.
struct WaitData {
  // The end of the environment ends them; a listener's file stays.
  ~WaitData() {
    for (auto& [id, wait] : waits) wait->Cancel();
  }

  std::unordered_map<uint32_t, std::shared_ptr<core::Wait>> waits;
  std::unordered_map<uint32_t, std::shared_ptr<core::SocketListener>> listeners;
};

}  // namespace microvm::binding
