#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/image/image_status.h"
#include "core/image/limits.h"

namespace microvm::core::image {

// The components of a name in an archive: what stands for the root at its beginning is left out, and "." and
// doubled slashes anywhere. ".." is a fault, and so is a name that is too long or too deep. Empty for the
// root itself. The views are into `path`.
ImageStatus SplitEntryPath(std::string_view path, const ImageLimits& limits,
                           std::vector<std::string_view>* components);

}  // namespace microvm::core::image
