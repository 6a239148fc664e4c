#pragma once

#include <string>

#include "file_channel.h"
#include "unique_fd.h"

namespace microvm::agent {

// Sends the content of a file as DATA.
FileFailure ReadContent(const FileRequest& request, FileChannel* channel);

// Sends up to `length` bytes of an open file as DATA: fewer at its end, and of what has no more now.
FileFailure ReadOpenFile(int fd, uint64_t position, uint64_t length, FileChannel* channel);

// Writes all of it, at a position or where the file stands.
FileFailure WriteOpenFile(int fd, uint64_t position, std::string_view data);

// One WRITE_FILE, from its request to its COMMIT. Without a COMMIT an atomic write leaves no trace.
class ContentWriter {
 public:
  ContentWriter() = default;
  ~ContentWriter() { RemoveTemporary(); }
  ContentWriter(const ContentWriter&) = delete;
  ContentWriter& operator=(const ContentWriter&) = delete;

  FileFailure Begin(const FileRequest& request);
  FileFailure Write(std::string_view data);
  FileFailure Commit();

 private:
  FileFailure BeginAtomic();
  FileFailure Publish();
  void RemoveTemporary();

  FileRequest request_;
  UniqueFd file_;
  std::string target_;     // of an atomic write: what is replaced
  std::string folder_;     // the one that it lies in
  std::string temporary_;  // the name of the new content, once it has one
};

}  // namespace microvm::agent
