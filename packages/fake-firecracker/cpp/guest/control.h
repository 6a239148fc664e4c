#pragma once

#include <cstdint>
#include <string_view>

#include "process/system.h"

namespace microvm::fake {

// What the VMM and its guest say to each other on a pair of sockets that keeps messages apart. The guest's
// end of it is what the wires of a real machine are: when it is cut, the guest is gone.
enum class Signal : char {
  // From the VMM.
  kBoot =
      'B',  // with a `BootMessage` and, where there is one, the descriptor of the initrd or the memory file
  kPause = 'P',
  kResume = 'R',
  kCtrlAltDel = 'C',
  // From the guest.
  kUp = 'u',      // with the descriptor of its root folder: the agent listens
  kPaused = 'p',  // with a `LifeMessage`
  kResumed = 'r',
  kPanic = 'k',  // with the reason
};

// What is left of the guest's life in a snapshot, beside its files.
struct LifeMessage {
  uint32_t epoch = 1;
  bool is_frozen = false;
};

struct BootMessage {
  bool is_restore = false;
  LifeMessage life;
  uint64_t memory_bytes = 0;
  // The archive within the descriptor's file; none: an empty root folder.
  uint64_t archive_offset = 0;
  uint64_t archive_size = 0;
  bool has_root_drive = false;
  char command_line[4096] = "";
};

constexpr size_t kMessageLimit = sizeof(BootMessage) + 1;

// 0 or an errno. `fd` is passed on where it is not -1.
int Send(int control, Signal signal, std::string_view body = {}, int fd = -1);
// False at the end of the line. Waits, unless the socket does not.
bool Receive(int control, Signal* signal, std::string* body, UniqueFd* fd);

template <typename Message>
std::string_view BytesOf(const Message& message) {
  // SAFETY: plain data, and both ends are the same program.
  return {reinterpret_cast<const char*>(&message), sizeof(message)};
}

}  // namespace microvm::fake
