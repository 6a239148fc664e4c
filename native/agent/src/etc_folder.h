#pragma once

#include <string_view>

#include "unique_fd.h"

namespace microvm::agent {

// The folder /etc below a root, made where it is absent. An image may have a symbolic link there: it is
// followed within the root and never out of it, and not into the kernel's own file systems. Invalid, with
// errno: there is no such folder.
UniqueFd OpenEtc(int root_fd);

// Replaces a file of it whole, whatever has the name now; a link is replaced and not followed. 0 or an errno.
int ReplaceFile(int folder_fd, const char* name, std::string_view text);

// The first boot of an image: hosts, hostname and a machine id of its own. What cannot be written is told on
// the console, and the boot goes on.
void WriteIdentity(int root_fd, std::string_view host_name);

}  // namespace microvm::agent
