#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/image/decompressor.h"
#include "core/image/tar_reader.h"
#include "pieces.h"

using namespace microvm::core::image;

namespace {

void Require(bool condition) {
  if (!condition) abort();
}

// Everything that the reader has told, in one text.
std::string Told(ByteSource* source, const ImageLimits& limits) {
  TarReader reader(source, limits);
  std::string told;
  const auto end = [&](const ImageStatus& status) {
    Require(status.System() == nullptr);
    if (const ImageFault* fault = status.Fault()) told += "fault " + fault->entry + ": " + fault->reason;
    return told;
  };
  for (;;) {
    Entry entry;
    bool is_there = false;
    auto read = reader.Next(&entry, &is_there);
    if (!read.Ok()) return end(read);
    if (!is_there) return end(reader.Drain());
    told += std::to_string(static_cast<int>(entry.type)) + entry.path + '\0' + entry.link + '\0' +
            std::to_string(entry.mode) + ',' + std::to_string(entry.uid) + ',' + std::to_string(entry.gid) +
            ',' + std::to_string(entry.mtime) + ',' + std::to_string(entry.size) + '\n';
    uint64_t stored = 0;
    uint64_t last = 0;
    for (const Extent& extent : entry.extents) {
      Require(extent.offset >= last && extent.length <= entry.size &&
              extent.offset <= entry.size - extent.length);
      last = extent.offset + extent.length;
      stored += extent.length;
    }
    uint64_t xattrs = 0;
    for (const auto& [name, value] : entry.xattrs) xattrs += name.size() + value.size();
    Require(xattrs <= limits.inode_xattr_bytes && entry.size <= limits.file_bytes);
    char buffer[1000];
    for (size_t got = 1; got > 0; stored -= got) {
      read = reader.ReadContent(buffer, sizeof buffer, &got);
      if (!read.Ok()) return end(read);
      Require(got <= stored);
      told.append(buffer, got);
    }
    Require(stored == 0);
  }
}

// A header without its right checksum would be refused before anything else is looked at.
void SealHeaders(std::string* bytes) {
  for (size_t at = 0; at + kTarBlock <= bytes->size(); at += kTarBlock) {
    char* block = bytes->data() + at;
    if (memcmp(block + 257, "ustar", 5) != 0) continue;
    memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < kTarBlock; ++i) sum += static_cast<unsigned char>(block[i]);
    for (size_t i = 6; i-- > 0; sum >>= 3) block[148 + i] = static_cast<char>('0' + (sum & 7));
    block[154] = '\0';
  }
}

}  // namespace

// The first byte says how the rest is packed, the second one how large the pieces are in which it comes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  // SAFETY: bytes as chars; libFuzzer keeps them for the call.
  std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t piece = data[1] == 0 ? 1 : data[1];
  ImageLimits limits;
  limits.file_bytes = 1 << 20;
  const auto compression = static_cast<Compression>(data[0] % 4);
  if (compression == Compression::kNone) SealHeaders(&bytes);
  std::string told[2];
  for (const size_t step : {piece, bytes.size() + 1}) {
    Pieces packed(bytes, step);
    const auto unpacked = MakeDecompressor(compression, &packed);
    Require(unpacked != nullptr);
    told[step == piece ? 0 : 1] = Told(unpacked.get(), limits);
  }
  // How much a library unpacks before it finds broken data may depend on the pieces; nothing else may.
  const bool is_packed = compression != Compression::kNone;
  const bool are_refused =
      told[0].find("fault ") != std::string::npos && told[1].find("fault ") != std::string::npos;
  Require(told[0] == told[1] || piece == bytes.size() + 1 || (is_packed && are_refused));
  return 0;
}
