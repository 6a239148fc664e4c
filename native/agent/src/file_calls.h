#pragma once

#include "file_channel.h"
#include "file_request.h"

namespace microvm::agent {

// Calls that name files by path, or are about the open file `fd`, and answer at once. `done` is what
// FILE_DONE carries. False: the request is none of these.
bool RunFileCall(const FileRequest& request, int fd, FileFailure* failure, Bytes* done);

// Copies content and mode, as uv_fs_copyfile does.
FileFailure CopyFileContent(const std::string& from, const std::string& to, uint32_t mode);

}  // namespace microvm::agent
