#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "core/result.h"

namespace microvm::core::image {

// What a stranger made wrong in an image. `entry` is empty when the fault is of the layer as a whole.
struct ImageFault {
  size_t layer = 0;
  std::string entry;  // bytes, as in the archive
  std::string reason;
};

// How a step of reading an image ended: well, by a fault of the image, or by an error of the system.
class [[nodiscard]] ImageStatus {
 public:
  ImageStatus() = default;
  ImageStatus(SysError error) : failure_(std::move(error)) {}
  ImageStatus(ImageFault fault) : failure_(std::move(fault)) {}
  ImageStatus(const Status& status) {
    if (!status.Ok()) failure_ = status.Error();
  }

  // A fault of which only the reason is known here: the callers above add the entry and the layer.
  static ImageStatus Invalid(std::string reason) { return ImageFault{0, {}, std::move(reason)}; }

  bool Ok() const { return std::holds_alternative<std::monostate>(failure_); }
  const SysError* System() const { return std::get_if<SysError>(&failure_); }
  const ImageFault* Fault() const { return std::get_if<ImageFault>(&failure_); }

  // Says where the fault lies, unless that is known already.
  ImageStatus WithEntry(const std::string& entry) && {
    if (auto* fault = std::get_if<ImageFault>(&failure_); fault != nullptr && fault->entry.empty()) {
      fault->entry = entry;
    }
    return std::move(*this);
  }
  ImageStatus InLayer(size_t layer) && {
    if (auto* fault = std::get_if<ImageFault>(&failure_)) fault->layer = layer;
    return std::move(*this);
  }

 private:
  std::variant<std::monostate, SysError, ImageFault> failure_;
};

}  // namespace microvm::core::image
