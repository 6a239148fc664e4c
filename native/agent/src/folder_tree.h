#pragma once

namespace microvm::agent {

// Removes all that lies in a folder and on its file system; what is mounted below stays, and so do the
// folders on the way to it.
void EmptyFolder(int folder_fd);

// Copies folders, links and small files with their owners and modes, as far as that can be done: what the
// services of an image expect to find in a file system of memory.
void CopySmallTree(int from_fd, int to_fd);

}  // namespace microvm::agent
