#include "core/size_bounds.h"

namespace microvm::core {

Status SizeBounds::Check(uint64_t size, const std::string& path) const {
  if (size >= at_least && size <= at_most) return {};
  const bool is_larger = size > at_most;
  SysError error{is_larger ? EFBIG : EIO, "fstat", path};
  error.detail = "it has " + std::to_string(size) + " bytes, " + (is_larger ? "at most " : "at least ") +
                 std::to_string(is_larger ? at_most : at_least) + " are allowed";
  return error;
}

}  // namespace microvm::core
