#include "core/image/tar_reader.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/image/pax_fields.h"
#include "core/image/sparse_map.h"
#include "core/image/tar_number.h"

namespace microvm::core::image {
namespace {

constexpr uint32_t kModeBits = 07777;

ImageStatus Truncated() { return ImageStatus::Invalid("the archive ends in its middle"); }

std::optional<EntryType> TypeOf(char type) {
  switch (type) {
    case '0':
    case '\0':
    case '7':  // to be stored in one piece, which is no matter here
    case 'S':
      return EntryType::kFile;
    case '1':
      return EntryType::kHardLink;
    case '2':
      return EntryType::kSymlink;
    case '3':
      return EntryType::kCharDevice;
    case '4':
      return EntryType::kBlockDevice;
    case '5':
      return EntryType::kFolder;
    case '6':
      return EntryType::kFifo;
    default:
      return std::nullopt;
  }
}

std::string TypeText(char type) {
  if (type > ' ' && type < 0x7f) return std::string("'") + type + "'";
  return std::to_string(static_cast<unsigned char>(type));
}

// An owner is a number of 32 bits, of which the last one means nobody at all to the kernel.
ImageStatus ReadOwner(std::optional<uint64_t> pax, int64_t in_header, const char* what, uint32_t* owner) {
  // A negative number becomes one that is too large.
  const uint64_t number = pax.value_or(static_cast<uint64_t>(in_header));
  if (number >= UINT32_MAX) return ImageStatus::Invalid(std::string("its ") + what + " is out of range");
  *owner = static_cast<uint32_t>(number);
  return {};
}

ImageStatus ToDevice(const TarHeader& header, Entry* entry) {
  constexpr int64_t kMajors = 1 << 12;
  constexpr int64_t kMinors = 1 << 20;
  const bool fits =
      header.major >= 0 && header.major < kMajors && header.minor >= 0 && header.minor < kMinors;
  if (!fits) return ImageStatus::Invalid("its device number is out of range");
  entry->major = static_cast<uint32_t>(header.major);
  entry->minor = static_cast<uint32_t>(header.minor);
  return {};
}

}  // namespace

ImageStatus TarReader::Next(Entry* entry, bool* is_there) {
  *is_there = false;
  auto skipped = Skip(content_left_ + padding_left_);
  if (!skipped.Ok()) return skipped;
  content_left_ = padding_left_ = 0;
  Prelude prelude;
  for (;;) {
    TarHeader header;
    auto read = ReadHeader(&header, is_there);
    if (!read.Ok()) return read;
    if (!*is_there) return prelude.IsEmpty() ? ImageStatus() : Truncated();
    const bool is_prelude = strchr("xXgLK", header.type) != nullptr && header.type != '\0';
    auto done = is_prelude ? ReadPrelude(header, &prelude) : MakeEntry(header, prelude, entry);
    if (!done.Ok()) return std::move(done).WithEntry(is_prelude ? header.path : entry->path);
    if (!is_prelude) return {};
  }
}

ImageStatus TarReader::ReadHeader(TarHeader* header, bool* is_there) {
  auto read = ReadBlock(&block_, is_there);
  if (!read.Ok() || !*is_there) return read;
  const auto is_zero = [](const std::string& block) {
    return block.find_first_not_of('\0') == std::string::npos;
  };
  if (!is_zero(block_)) return ParseTarHeader(block_, header);
  // Two blocks of zeros end an archive; its end does so too.
  read = ReadBlock(&block_, is_there);
  if (!read.Ok() || !*is_there) return read;
  if (!is_zero(block_)) return ImageStatus::Invalid("there is one block of zeros in the archive's middle");
  *is_there = false;
  return {};
}

ImageStatus TarReader::ReadPrelude(const TarHeader& header, Prelude* prelude) {
  switch (header.type) {
    case 'g':
      return ReadGlobalHeader(header);
    case 'L':
      prelude->has_long_path = true;
      return ReadLongName(header, &prelude->long_path);
    case 'K':
      prelude->has_long_link = true;
      return ReadLongName(header, &prelude->long_link);
    default:
      return ReadPaxHeader(header, &prelude->records);
  }
}

ImageStatus TarReader::ReadPaxHeader(const TarHeader& header, std::vector<PaxRecord>* records) {
  if (!records->empty()) return ImageStatus::Invalid("two PAX headers precede one entry");
  if (static_cast<uint64_t>(header.size) > limits_.pax_bytes) {
    return ImageStatus::Invalid("its PAX records have more than " + std::to_string(limits_.pax_bytes) +
                                " bytes");
  }
  std::string bytes;
  auto read = ReadWhole(static_cast<uint64_t>(header.size), &bytes);
  if (!read.Ok()) return read;
  return ParsePaxRecords(bytes, records);
}

ImageStatus TarReader::ReadGlobalHeader(const TarHeader& header) {
  std::vector<PaxRecord> records;
  auto read = ReadPaxHeader(header, &records);
  if (!read.Ok()) return read;
  for (const PaxRecord& record : records) {
    auto added = global_fields_.Add(record, limits_);
    if (!added.Ok()) return added;
  }
  // The map of a sparse file cannot be that of all files.
  global_fields_.sparse = {};
  return {};
}

ImageStatus TarReader::ReadLongName(const TarHeader& header, std::string* name) {
  // The name ends with a NUL, which some writers leave out.
  if (static_cast<uint64_t>(header.size) > limits_.path_bytes + 1) {
    return ImageStatus::Invalid("a name has more than " + std::to_string(limits_.path_bytes) + " bytes");
  }
  auto read = ReadWhole(static_cast<uint64_t>(header.size), name);
  if (!read.Ok()) return read;
  name->resize(std::min(name->find('\0'), name->size()));
  return {};
}

ImageStatus TarReader::MakeEntry(const TarHeader& header, const Prelude& prelude, Entry* entry) {
  *entry = {};
  entry->path = prelude.has_long_path ? prelude.long_path : header.path;
  entry->link = prelude.has_long_link ? prelude.long_link : header.link;
  const auto type = TypeOf(header.type);
  if (!type) return ImageStatus::Invalid("its type " + TypeText(header.type) + " is unknown");
  entry->type = *type;
  PaxFields fields = global_fields_;
  for (const PaxRecord& record : prelude.records) {
    auto added = fields.Add(record, limits_);
    if (!added.Ok()) return added;
  }
  if (fields.path) entry->path = *fields.path;
  if (fields.link) entry->link = *fields.link;
  // Old archives mark a folder by its name alone.
  if (header.type == '\0' && !entry->path.empty() && entry->path.back() == '/')
    entry->type = EntryType::kFolder;
  entry->mode = static_cast<uint32_t>(header.mode) & kModeBits;
  entry->mtime = fields.mtime.value_or(header.mtime);
  entry->xattrs = std::move(fields.xattrs);
  auto owned = ReadOwner(fields.uid, header.uid, "user", &entry->uid);
  if (owned.Ok()) owned = ReadOwner(fields.gid, header.gid, "group", &entry->gid);
  if (!owned.Ok()) return owned;
  const bool is_device = entry->type == EntryType::kCharDevice || entry->type == EntryType::kBlockDevice;
  if (is_device) return ToDevice(header, entry);
  // The size of what has no content says nothing, and nothing is stored.
  if (entry->type != EntryType::kFile) return {};
  entry->size = fields.size.value_or(static_cast<uint64_t>(header.size));
  if (entry->size > INT64_MAX) return ImageStatus::Invalid("its size is out of range");
  content_left_ = entry->size;
  padding_left_ = PaddingOf(entry->size);
  return ReadSparseMap(header, fields, entry);
}

ImageStatus TarReader::ReadSparseMap(const TarHeader& header, const PaxFields& fields, Entry* entry) {
  if (header.type == 'S') {
    auto read = ReadOldGnuMap(entry);
    if (!read.Ok()) return read;
  } else if (!fields.IsSparse()) {
    entry->extents.push_back({0, entry->size});
  } else {
    if (fields.sparse.name) entry->path = *fields.sparse.name;
    if (!fields.sparse.real_size) return ImageStatus::Invalid("the real size of a sparse file is missing");
    entry->size = *fields.sparse.real_size;
    if (fields.sparse.major && !fields.IsSparse10() && !fields.sparse.has_map) {
      return ImageStatus::Invalid("a sparse file has an unknown form");
    }
    entry->extents = fields.sparse.map;
    if (fields.IsSparse10()) {
      entry->extents.clear();
      auto read = ReadMapBeforeData(entry);
      if (!read.Ok()) return read;
    }
  }
  if (entry->size > limits_.file_bytes) {
    return ImageStatus::Invalid("it has more than " + std::to_string(limits_.file_bytes) + " bytes");
  }
  return NormaliseExtents(entry->size, content_left_, &entry->extents);
}

ImageStatus TarReader::ReadOldGnuMap(Entry* entry) {
  constexpr size_t kFirst = 386;
  constexpr size_t kInHeader = 4;
  constexpr size_t kInBlock = 21;
  constexpr size_t kField = 12;
  constexpr size_t kRealSize = 483;
  const auto real_size = ParseTarNumber(std::string_view(block_).substr(kRealSize, kField));
  if (!real_size || *real_size < 0)
    return ImageStatus::Invalid("the real size of a sparse file is no number");
  entry->size = static_cast<uint64_t>(*real_size);
  std::string block = block_.substr(kFirst, kInHeader * 2 * kField + 1);
  size_t count = kInHeader;
  for (;;) {
    for (size_t i = 0; i < count; ++i) {
      const auto field = std::string_view(block).substr(i * 2 * kField, 2 * kField);
      if (field[0] == '\0') break;
      const auto offset = ParseTarNumber(field.substr(0, kField));
      const auto length = ParseTarNumber(field.substr(kField));
      if (!offset || !length || *offset < 0 || *length < 0) {
        return ImageStatus::Invalid("the map of a sparse file has what is no number");
      }
      entry->extents.push_back({static_cast<uint64_t>(*offset), static_cast<uint64_t>(*length)});
    }
    // Whether a further block of the map follows.
    if (block[count * 2 * kField] == '\0') return {};
    if (entry->extents.size() > limits_.entries) {
      return ImageStatus::Invalid("the map of a sparse file has more than " +
                                  std::to_string(limits_.entries) + " pieces");
    }
    bool is_there = false;
    auto read = ReadBlock(&block, &is_there);
    if (!read.Ok() || !is_there) return is_there ? read : Truncated();
    count = kInBlock;
  }
}

ImageStatus TarReader::ReadMapNumber(std::string* block, size_t* at, uint64_t* number) {
  constexpr size_t kMaxDigits = 20;
  std::string digits;
  for (;;) {
    if (*at == block->size()) {
      bool is_there = false;
      if (content_left_ < kTarBlock) return ImageStatus::Invalid("the map of a sparse file is cut off");
      auto read = ReadBlock(block, &is_there);
      if (!read.Ok() || !is_there) return is_there ? read : Truncated();
      content_left_ -= kTarBlock;
      *at = 0;
    }
    const char digit = (*block)[(*at)++];
    if (digit == '\n') break;
    digits += digit;
    if (digits.size() > kMaxDigits) break;
  }
  const auto parsed = ParseDecimal(digits);
  if (!parsed) return ImageStatus::Invalid("the map of a sparse file has what is no number");
  *number = *parsed;
  return {};
}

ImageStatus TarReader::ReadMapBeforeData(Entry* entry) {
  std::string block;
  size_t at = 0;
  uint64_t count = 0;
  auto read = ReadMapNumber(&block, &at, &count);
  if (!read.Ok()) return read;
  if (count > limits_.entries) {
    return ImageStatus::Invalid("the map of a sparse file has more than " + std::to_string(limits_.entries) +
                                " pieces");
  }
  for (uint64_t i = 0; i < count; ++i) {
    Extent extent;
    read = ReadMapNumber(&block, &at, &extent.offset);
    if (read.Ok()) read = ReadMapNumber(&block, &at, &extent.length);
    if (!read.Ok()) return read;
    entry->extents.push_back(extent);
  }
  return {};
}

ImageStatus TarReader::ReadContent(char* buffer, size_t capacity, size_t* got) {
  *got = 0;
  if (content_left_ == 0) return {};
  auto read = ReadBuffered(buffer, static_cast<size_t>(std::min<uint64_t>(capacity, content_left_)), got);
  if (!read.Ok()) return read;
  if (*got == 0) return Truncated();
  content_left_ -= *got;
  return {};
}

ImageStatus TarReader::Drain() {
  for (;;) {
    auto read = source_->Read(buffer_.data(), buffer_.size(), &buffer_end_);
    buffer_begin_ = buffer_end_;
    if (!read.Ok() || buffer_end_ == 0) return read;
  }
}

ImageStatus TarReader::ReadBlock(std::string* block, bool* is_there) {
  block->resize(kTarBlock);
  size_t have = 0;
  *is_there = false;
  while (have < kTarBlock) {
    size_t got = 0;
    auto read = ReadBuffered(block->data() + have, kTarBlock - have, &got);
    if (!read.Ok()) return read;
    if (got == 0) return have == 0 ? ImageStatus() : Truncated();
    have += got;
  }
  *is_there = true;
  return {};
}

ImageStatus TarReader::ReadWhole(uint64_t size, std::string* bytes) {
  bytes->resize(static_cast<size_t>(size));
  for (size_t have = 0; have < bytes->size();) {
    size_t got = 0;
    auto read = ReadBuffered(bytes->data() + have, bytes->size() - have, &got);
    if (!read.Ok()) return read;
    if (got == 0) return Truncated();
    have += got;
  }
  return Skip(PaddingOf(size));
}

ImageStatus TarReader::ReadBuffered(char* buffer, size_t capacity, size_t* got) {
  if (buffer_begin_ == buffer_end_) {
    // Large pieces need no copy.
    if (capacity >= buffer_.size()) return source_->Read(buffer, capacity, got);
    buffer_begin_ = 0;
    auto read = source_->Read(buffer_.data(), buffer_.size(), &buffer_end_);
    if (!read.Ok()) return read;
  }
  *got = std::min(capacity, buffer_end_ - buffer_begin_);
  memcpy(buffer, buffer_.data() + buffer_begin_, *got);
  buffer_begin_ += *got;
  return {};
}

ImageStatus TarReader::Skip(uint64_t count) {
  while (count > 0) {
    if (buffer_begin_ == buffer_end_) {
      buffer_begin_ = 0;
      auto read = source_->Read(buffer_.data(), buffer_.size(), &buffer_end_);
      if (!read.Ok()) return read;
      if (buffer_end_ == 0) return Truncated();
    }
    const auto step = static_cast<size_t>(std::min<uint64_t>(count, buffer_end_ - buffer_begin_));
    buffer_begin_ += step;
    count -= step;
  }
  return {};
}

}  // namespace microvm::core::image
