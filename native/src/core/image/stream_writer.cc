#include "core/image/stream_writer.h"

#include <algorithm>
#include <cstring>

#include "core/image/pax_records.h"
#include "core/image/tar_header.h"

namespace microvm::core::image {
namespace {

// One byte less than the field has, for the NUL that some readers want.
constexpr size_t kNameField = 99;
constexpr uint64_t kMaxOctal7 = 07777777;
constexpr uint64_t kMaxOctal11 = 077777777777;
constexpr int64_t kMaxTime = UINT32_MAX;
constexpr size_t kPendingBytes = 64 << 10;
// sqfstar reads the map of a sparse file right only when its pieces are aligned.
constexpr uint64_t kAlignment = 4096;

const char* TypeOf(EntryType type) {
  switch (type) {
    case EntryType::kFile:
      return "0";
    case EntryType::kHardLink:
      return "1";
    case EntryType::kSymlink:
      return "2";
    case EntryType::kCharDevice:
      return "3";
    case EntryType::kBlockDevice:
      return "4";
    case EntryType::kFolder:
      return "5";
    case EntryType::kFifo:
      break;
  }
  return "6";
}

// Octal digits and a NUL.
void PutOctal(uint64_t value, size_t size, char* field) {
  for (size_t i = size - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
}

// A squashfs has attributes of three kinds; and a record of PAX ends its keyword at the first "=", so that a
// name with one cannot be told to sqfstar.
bool CanHold(const std::string& xattr) {
  if (xattr.find('=') != std::string::npos) return false;
  for (const char* prefix : {"user.", "trusted.", "security."}) {
    if (xattr.compare(0, strlen(prefix), prefix) == 0) return true;
  }
  return false;
}

// The pieces of a file that are written: those that are data, widened to whole blocks and joined where they
// touch then. The last block of a file is written in any case unless the file ends with a block, because
// sqfstar cannot read a hole of another length there.
std::vector<Extent> AlignedPieces(const Inode& inode) {
  std::vector<Extent> pieces;
  const auto add = [&](uint64_t begin, uint64_t end) {
    begin -= begin % kAlignment;
    end = std::min(inode.size, end + (kAlignment - end % kAlignment) % kAlignment);
    if (!pieces.empty() && begin <= pieces.back().offset + pieces.back().length) {
      const uint64_t offset = pieces.back().offset;
      pieces.back().length = std::max(offset + pieces.back().length, end) - offset;
    } else {
      pieces.push_back({begin, end - begin});
    }
  };
  for (const Extent& extent : inode.extents) add(extent.offset, extent.offset + extent.length);
  if (inode.size % kAlignment != 0) add(inode.size - inode.size % kAlignment, inode.size);
  return pieces;
}

bool IsWhole(const std::vector<Extent>& pieces, uint64_t size) {
  return size == 0 || (pieces.size() == 1 && pieces[0].length == size);
}

std::string MapOf(std::vector<Extent> pieces, uint64_t size) {
  if (pieces.empty() || pieces.back().offset + pieces.back().length < size) pieces.push_back({size, 0});
  std::string map = std::to_string(pieces.size()) + "\n";
  for (const Extent& piece : pieces) {
    map += std::to_string(piece.offset) + "\n" + std::to_string(piece.length) + "\n";
  }
  map.append(static_cast<size_t>(PaddingOf(map.size())), '\0');
  return map;
}

}  // namespace

struct StreamWriter::Header {
  EntryType type = EntryType::kFile;
  std::string path;
  std::string link;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t mtime = 0;
  uint64_t size = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::string records;  // further ones
};

namespace {

std::string Block(const char* type, const std::string& path, const std::string& link) {
  std::string block(kTarBlock, '\0');
  path.copy(block.data(), kNameField);
  link.copy(block.data() + 157, kNameField);
  block[156] = *type;
  memcpy(block.data() + 257,
         "ustar\0"
         "00",
         8);
  return block;
}

void PutChecksum(std::string* block) {
  memset(block->data() + 148, ' ', 8);
  uint64_t sum = 0;
  for (const char byte : *block) sum += static_cast<unsigned char>(byte);
  PutOctal(sum, 7, block->data() + 148);
  (*block)[154] = '\0';
}

}  // namespace

ImageStatus StreamWriter::Write(const Node& root) {
  counts_.dropped_xattrs += root.inode->xattrs.size();
  auto written = WriteFolder(root);
  if (written.Ok()) written = Put(std::string(2 * kTarBlock, '\0'));
  if (written.Ok()) written = Flush();
  counts_.stream_bytes = output_->Count();
  return written;
}

ImageStatus StreamWriter::WriteFolder(const Node& folder) {
  for (const auto& [name, child] : folder.children) {
    auto written = WriteNode(*child);
    if (written.Ok() && child->IsFolder()) written = WriteFolder(*child);
    if (!written.Ok()) return written;
  }
  return {};
}

ImageStatus StreamWriter::WriteNode(const Node& node) {
  ++counts_.entries;
  if (node.inode.use_count() > 1) {
    const auto [first, is_new] = written_.try_emplace(node.inode.get(), &node);
    if (!is_new) return WriteLink(node, first->second->Path());
  }
  if (node.inode->type == EntryType::kFile) return WriteFile(node);
  return WriteHeader(HeaderOf(node));
}

ImageStatus StreamWriter::WriteLink(const Node& node, const std::string& target) {
  Header header;
  header.type = EntryType::kHardLink;
  header.path = node.Path();
  header.link = target;
  return WriteHeader(std::move(header));
}

ImageStatus StreamWriter::WriteFile(const Node& node) {
  const Inode& inode = *node.inode;
  counts_.file_bytes += inode.size;
  const std::vector<Extent> pieces = AlignedPieces(inode);
  Header header = HeaderOf(node);
  header.size = inode.size;
  if (IsWhole(pieces, inode.size)) {
    auto written = WriteHeader(std::move(header));
    return written.Ok() ? WriteContent(inode, pieces) : written;
  }
  const std::string map = MapOf(pieces, inode.size);
  header.size = map.size();
  for (const Extent& piece : pieces) header.size += piece.length;
  AppendPaxRecord("GNU.sparse.major", "1", &header.records);
  AppendPaxRecord("GNU.sparse.minor", "0", &header.records);
  AppendPaxRecord("GNU.sparse.name", header.path, &header.records);
  AppendPaxRecord("GNU.sparse.realsize", std::to_string(inode.size), &header.records);
  header.path = "sparse";
  auto written = WriteHeader(std::move(header));
  if (written.Ok()) written = Put(map);
  return written.Ok() ? WriteContent(inode, pieces) : written;
}

ImageStatus StreamWriter::WriteContent(const Inode& inode, const std::vector<Extent>& pieces) {
  uint64_t total = 0;
  Place place{inode.extents.begin(), inode.stage_offset};
  for (const Extent& piece : pieces) {
    auto written = WritePiece(inode, piece, &place);
    if (!written.Ok()) return written;
    total += piece.length;
  }
  return Put(std::string(static_cast<size_t>(PaddingOf(total)), '\0'));
}

ImageStatus StreamWriter::WritePiece(const Inode& inode, const Extent& piece, Place* place) {
  const uint64_t end = piece.offset + piece.length;
  for (uint64_t at = piece.offset; at < end;) {
    auto count = static_cast<size_t>(std::min<uint64_t>(end - at, buffer_.size()));
    const bool has_data = place->extent != inode.extents.end() && place->extent->offset < at + count;
    if (!has_data || place->extent->offset > at) {
      // Zeros up to the next data.
      if (has_data) count = static_cast<size_t>(place->extent->offset - at);
      memset(buffer_.data(), 0, count);
    } else {
      const uint64_t done = at - place->extent->offset;
      count = static_cast<size_t>(std::min<uint64_t>(count, place->extent->length - done));
      auto read = layers_[inode.layer].stage->Read(place->stage_offset + done, buffer_.data(), count);
      if (!read.Ok()) return read;
      if (done + count == place->extent->length) {
        place->stage_offset += place->extent->length;
        ++place->extent;
      }
    }
    auto written = Put({buffer_.data(), count});
    if (!written.Ok()) return written;
    at += count;
  }
  return {};
}

ImageStatus StreamWriter::WriteHeader(Header header) {
  std::string records;
  if (header.path.size() > kNameField) AppendPaxRecord("path", header.path, &records);
  if (header.link.size() > kNameField) AppendPaxRecord("linkpath", header.link, &records);
  if (header.uid > kMaxOctal7) AppendPaxRecord("uid", std::to_string(header.uid), &records);
  if (header.gid > kMaxOctal7) AppendPaxRecord("gid", std::to_string(header.gid), &records);
  if (header.size > kMaxOctal11) AppendPaxRecord("size", std::to_string(header.size), &records);
  records += header.records;
  if (!records.empty()) {
    std::string pax = Block("x", "pax", "");
    PutOctal(records.size(), 12, pax.data() + 124);
    PutChecksum(&pax);
    auto written = Put(pax + records + std::string(static_cast<size_t>(PaddingOf(records.size())), '\0'));
    if (!written.Ok()) return written;
  }
  std::string block = Block(TypeOf(header.type), header.path, header.link);
  PutOctal(header.mode, 8, block.data() + 100);
  PutOctal(std::min<uint64_t>(header.uid, kMaxOctal7), 8, block.data() + 108);
  PutOctal(std::min<uint64_t>(header.gid, kMaxOctal7), 8, block.data() + 116);
  PutOctal(std::min(header.size, kMaxOctal11), 12, block.data() + 124);
  PutOctal(header.mtime, 12, block.data() + 136);
  PutOctal(header.major, 8, block.data() + 329);
  PutOctal(header.minor, 8, block.data() + 337);
  PutChecksum(&block);
  return Put(block);
}

StreamWriter::Header StreamWriter::HeaderOf(const Node& node) {
  const Inode& inode = *node.inode;
  Header header;
  header.type = inode.type;
  header.path = node.Path();
  header.link = inode.link;
  header.mode = inode.mode;
  header.uid = inode.uid;
  header.gid = inode.gid;
  header.mtime = static_cast<uint64_t>(std::clamp<int64_t>(inode.mtime, 0, kMaxTime));
  if (static_cast<int64_t>(header.mtime) != inode.mtime) ++counts_.clamped_times;
  header.major = inode.major;
  header.minor = inode.minor;
  header.records = RecordsOf(inode.xattrs);
  return header;
}

std::string StreamWriter::RecordsOf(const Xattrs& xattrs) {
  std::string records;
  for (const auto& [name, value] : xattrs) {
    // sqfstar reads these values as the bytes that they are; of LIBARCHIVE.xattr it refuses base64 that ends
    // with its signs for padding.
    if (CanHold(name)) {
      AppendPaxRecord("SCHILY.xattr." + name, value, &records);
    } else {
      ++counts_.dropped_xattrs;
    }
  }
  return records;
}

ImageStatus StreamWriter::Put(std::string_view bytes) {
  // Large pieces need no copy.
  if (bytes.size() >= kPendingBytes) {
    auto flushed = Flush();
    return flushed.Ok() ? output_->Write(bytes) : flushed;
  }
  pending_.append(bytes);
  return pending_.size() < kPendingBytes ? ImageStatus() : Flush();
}

ImageStatus StreamWriter::Flush() {
  auto written = output_->Write(pending_);
  pending_.clear();
  return written;
}

}  // namespace microvm::core::image
