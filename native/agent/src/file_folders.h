#pragma once

#include <string>

#include "file_channel.h"

namespace microvm::agent {

// Sends the names in a folder as ENTRIES; with `is_recursive` also those of the folders below it, by their
// paths from it. Links are not followed.
FileFailure ListFolder(const std::string& path, bool is_recursive, FileChannel* channel);

// As `rm` of Node: by descriptors, so that whoever may write in the tree cannot lead it elsewhere by a link.
FileFailure RemovePath(const std::string& path, bool is_recursive, bool is_forced);

}  // namespace microvm::agent
