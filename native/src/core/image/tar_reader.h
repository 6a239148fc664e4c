#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/image/byte_source.h"
#include "core/image/entry.h"
#include "core/image/limits.h"
#include "core/image/pax_fields.h"
#include "core/image/pax_records.h"
#include "core/image/tar_header.h"

namespace microvm::core::image {

// The entries of a tar, in the dialects ustar, PAX, GNU, star and v7, with the content of files in between.
// What cannot be understood is a fault, never a guess. `source` must outlive it. One thread.
class TarReader {
 public:
  TarReader(ByteSource* source, const ImageLimits& limits) : source_(source), limits_(limits) {}

  // Leaves out what is unread of the entry before. False at the end of the archive.
  ImageStatus Next(Entry* entry, bool* is_there);
  // Some of the bytes that are stored for the current entry; *got is 0 only after the last one.
  ImageStatus ReadContent(char* buffer, size_t capacity, size_t* got);
  // Reads to the end of the bytes behind the archive: they count for the digest.
  ImageStatus Drain();

 private:
  // What precedes an entry and is about it.
  struct Prelude {
    std::vector<PaxRecord> records;
    std::string long_path;
    std::string long_link;
    bool has_long_path = false;
    bool has_long_link = false;
    bool IsEmpty() const { return records.empty() && !has_long_path && !has_long_link; }
  };

  ImageStatus ReadHeader(TarHeader* header, bool* is_there);
  ImageStatus ReadPrelude(const TarHeader& header, Prelude* prelude);
  ImageStatus ReadPaxHeader(const TarHeader& header, std::vector<PaxRecord>* records);
  ImageStatus ReadGlobalHeader(const TarHeader& header);
  ImageStatus ReadLongName(const TarHeader& header, std::string* name);
  ImageStatus MakeEntry(const TarHeader& header, const Prelude& prelude, Entry* entry);
  ImageStatus ReadSparseMap(const TarHeader& header, const PaxFields& fields, Entry* entry);
  ImageStatus ReadOldGnuMap(Entry* entry);
  ImageStatus ReadMapBeforeData(Entry* entry);
  ImageStatus ReadMapNumber(std::string* block, size_t* at, uint64_t* number);
  // One block; *is_there is false at the end of the bytes, which is a fault in the middle of a block.
  ImageStatus ReadBlock(std::string* block, bool* is_there);
  ImageStatus ReadWhole(uint64_t size, std::string* bytes);
  ImageStatus ReadBuffered(char* buffer, size_t capacity, size_t* got);
  ImageStatus Skip(uint64_t count);

  ByteSource* source_;
  const ImageLimits limits_;
  PaxFields global_fields_;
  // The header block of the current entry.
  std::string block_;
  // What is still to come of the current entry: stored bytes, and what fills the last block.
  uint64_t content_left_ = 0;
  uint64_t padding_left_ = 0;
  std::vector<char> buffer_ = std::vector<char>(64 << 10);
  size_t buffer_begin_ = 0;
  size_t buffer_end_ = 0;
};

}  // namespace microvm::core::image
