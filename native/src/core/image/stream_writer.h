#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/image/layer.h"
#include "core/image/output_pipe.h"
#include "core/image/tree.h"

namespace microvm::core::image {

// What became of an image in the stream.
struct StreamCounts {
  uint64_t entries = 0;
  uint64_t file_bytes = 0;  // holes included, each file once
  uint64_t stream_bytes = 0;
  // Extended attributes that a squashfs cannot hold, or that sqfstar cannot be told: those outside of user.,
  // trusted. and security., those with a "=" in their names, and all of the root.
  uint64_t dropped_xattrs = 0;
  // Times before 1970 and after 2106, which are moved to the nearest that a squashfs can hold.
  uint64_t clamped_times = 0;
};

// Writes a tree as one PAX stream for sqfstar of squashfs-tools 4.5.1: folders before what is in them, the
// target of a hard link before the link, each name once, in the order of bytes. The root is no entry, because
// sqfstar takes what it knows of the root from its options. Times are whole seconds, because a squashfs has
// no others. One thread.
class StreamWriter {
 public:
  StreamWriter(const std::vector<LayerContents>& layers, OutputPipe* output)
      : layers_(layers), output_(output), buffer_(kCopyBytes) {}

  ImageStatus Write(const Node& root);
  const StreamCounts& Counts() const { return counts_; }

 private:
  static constexpr size_t kCopyBytes = 256 << 10;
  struct Header;
  // How far the content of a file has been written: its next data, and where this lies in the stage.
  struct Place {
    std::vector<Extent>::const_iterator extent;
    uint64_t stage_offset;
  };

  ImageStatus WriteFolder(const Node& folder);
  ImageStatus WriteNode(const Node& node);
  ImageStatus WriteLink(const Node& node, const std::string& target);
  ImageStatus WriteFile(const Node& node);
  ImageStatus WriteContent(const Inode& inode, const std::vector<Extent>& pieces);
  ImageStatus WritePiece(const Inode& inode, const Extent& piece, Place* place);
  ImageStatus WriteHeader(Header header);
  ImageStatus Put(std::string_view bytes);
  ImageStatus Flush();
  Header HeaderOf(const Node& node);
  std::string RecordsOf(const Xattrs& xattrs);

  const std::vector<LayerContents>& layers_;
  OutputPipe* output_;
  std::vector<char> buffer_;
  // Small things are written together.
  std::string pending_;
  // Where the content of inodes with several names has been written.
  std::unordered_map<const Inode*, const Node*> written_;
  StreamCounts counts_;
};

}  // namespace microvm::core::image
