#pragma once

#include <cstdint>
#include <string>

#include "guest/control.h"
#include "vmm/config.h"

namespace microvm::fake {

// The two files of a snapshot, in the real shapes: the state with its magic number, version and checksum,
// some 13 KiB; the memory as long as the guest's, Full without holes, Diff with them.
//
// The guest's files lie in the memory file, since a real guest has them in its memory. Both files carry one
// id: a guest that is given another memory than its own dies when it runs.

struct SnapshotState {
  VmConfig config;
  std::string memory_id;
  LifeMessage life;
  bool has_guest = false;  // it had not ended
  std::string command_line;
};

// What a memory file holds of a guest.
struct GuestMemory {
  std::string id;
  uint64_t archive_offset = 0;
  uint64_t archive_size = 0;
  bool is_whole = false;  // a Diff alone is not
};

struct MemoryPlan {
  std::string path;
  std::string id;
  uint64_t size = 0;
  bool has_holes = false;
  bool is_diff = false;
  int root = -1;    // packed, else
  int source = -1;  // taken over from a memory file that was loaded
  GuestMemory source_memory;
  bool fails_full = false;  // as on a disk that is full
};

// Each answers empty, or what the API says went wrong.
std::string WriteState(const std::string& path, const SnapshotState& state);
std::string WriteMemory(const MemoryPlan& plan);
std::string ReadState(const std::string& path, SnapshotState* state);
// The version of a state file, for --describe-snapshot.
std::string ReadVersion(const std::string& path, std::string* version);
GuestMemory InspectMemory(int fd);

}  // namespace microvm::fake
