#pragma once

#include <cstdint>
#include <string>

#include "core/handles.h"
#include "core/image/image_status.h"

namespace microvm::core::image {

// The content of a layer's files, one behind the other in a file that has no name, so that nothing is left of
// it however we end. One thread writes; afterwards any thread reads.
class Stage {
 public:
  static Result<Stage> Create(const std::string& folder);

  uint64_t Size() const { return size_; }
  Status Append(const char* bytes, size_t count);
  // All of them, which have been appended.
  Status Read(uint64_t offset, char* buffer, size_t count) const;

 private:
  Stage(std::string folder, UniqueFd fd) : folder_(std::move(folder)), fd_(std::move(fd)) {}

  std::string folder_;  // for errors
  UniqueFd fd_;
  uint64_t size_ = 0;
};

}  // namespace microvm::core::image
