#pragma once

#include "file_channel.h"

namespace microvm::agent {

// Tells of changes below a path until the host ends its input. False: nobody listens any more.
bool WatchPath(const FileRequest& request, FileChannel* channel);

}  // namespace microvm::agent
