#pragma once

#include <string>

#include "core/image/layer.h"

namespace microvm::core::image {

// Reads a folder of the caller as if it were an archive: owners, modes, times, links, devices, FIFOs and
// extended attributes as they are there, holes kept. Links are not followed, sockets are left out, and what
// is mounted below the folder is only an empty folder. A file that changes meanwhile is EIO.
ImageStatus ReadFolder(const std::string& path, const LayerWork& work, LayerContents* contents);

}  // namespace microvm::core::image
