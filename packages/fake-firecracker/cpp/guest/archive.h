#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace microvm::fake {

// cpio archives in the format `newc`: the kernel's for an initramfs, and ours for the guest's files in a
// snapshot.

// Unpacks into the current folder what may lie there: folders, files, links; device nodes are left out.
// False: it is no such archive, or the folder is full.
bool UnpackArchive(std::string_view archive);
// Whether the archive has this path, as a file that can be executed.
bool HasProgram(std::string_view archive, std::string_view path);
// Writes the tree below a folder, without what is mounted in it but the secrets, piece by piece. 0 or an
// errno.
int PackArchive(int folder, const std::function<int(std::string_view)>& write);

}  // namespace microvm::fake
