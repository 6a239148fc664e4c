#pragma once

#include "file_channel.h"

namespace microvm::agent {

// Both have the channel to themselves until the tree is whole or has failed, and answer the request. False:
// nobody listens any more, or the host broke the protocol.
bool ReceiveTree(const FileRequest& request, FileChannel* channel);
bool SendTree(const FileRequest& request, FileChannel* channel);

}  // namespace microvm::agent
