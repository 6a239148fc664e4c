#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/handles.h"
#include "volatile_store.h"

struct fuse_in_header;

namespace microvm::disk {

// The store as one file, by the FUSE protocol (linux/fuse.h): a write is a write to the store, an fsync a
// flush. A loop device upon this file passes each flush of its file system on as an fsync.
//
// The file is the root of its mount, so there are no folders and no names. The serving thread calls `Serve`;
// `Cut` and `PowerOn` come from any other one.
class StoreFile {
 public:
  explicit StoreFile(VolatileStore* store) : store_(store) {}

  // Mounts the file over the regular file `path`; false: errno says why.
  bool Mount(const std::string& path);
  // Answers requests until the mount is gone.
  void Serve();
  // The disk has power, for those who open the file from here on.
  void PowerOn();
  // The power is cut when the next flush arrives: what came before it is on its way, in no order.
  void CutAtFlush(Survival survival, uint64_t seed);
  // The power is cut, if it is not yet. From then on every request of those who have the file open fails.
  CutCounts Cut(Survival survival, uint64_t seed);

 private:
  void Answer(const fuse_in_header& header, const std::byte* body);
  void AnswerRead(const fuse_in_header& header, const std::byte* body);
  void AnswerWrite(const fuse_in_header& header, const std::byte* body);
  void Reply(uint64_t unique, int error, const void* data = nullptr, size_t size = 0);
  void AnswerFlush(const fuse_in_header& header, const std::byte* body);
  void CutNow(Survival survival, uint64_t seed);
  bool HasPower(uint64_t handle) const { return has_power_ && handle == life_; }

  VolatileStore* store_;
  UniqueFd device_;
  std::mutex mutex_;
  // With the lock. Which power-on this is: a file handle is of the life in which it was opened.
  uint64_t life_ = 0;
  bool has_power_ = false;
  std::optional<std::pair<Survival, uint64_t>> cut_at_flush_;
  CutCounts last_cut_;
};

}  // namespace microvm::disk
