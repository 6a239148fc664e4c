#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace microvm::core::image {

enum class EntryType { kFile, kHardLink, kSymlink, kCharDevice, kBlockDevice, kFolder, kFifo };

// A piece of a file that is data; what lies between the pieces is a hole. `offset` is the place in the file.
struct Extent {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Names and values are bytes.
using Xattrs = std::map<std::string, std::string>;

// What an archive or a folder says of one name. Names are as they stand there, not yet judged.
struct Entry {
  EntryType type = EntryType::kFile;
  std::string path;
  std::string link;   // of a hard link or a symbolic link
  uint32_t mode = 0;  // 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;  // seconds; what is less than a second is left out
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t size = 0;  // of a file, holes included
  Xattrs xattrs;
  // In order, not touching, none empty, and within `size`.
  std::vector<Extent> extents;
  // Where the bytes of the extents lie in the layer's stage, one behind the other.
  uint64_t stage_offset = 0;
};

}  // namespace microvm::core::image
