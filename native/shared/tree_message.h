#pragma once

#include <cstdint>
#include <string_view>

#include "wire.h"

// A tree of files as a stream of messages, docs/guest-protocol.md, "Trees". Both sides send and receive such
// streams by the same code: the agent in the guest, the addon on the host.
namespace microvm::tree {

enum class MessageType : uint8_t { kEntry = 0x50, kContent = 0x51, kUp = 0x52, kEnd = 0x53 };

// DT_* of readdir(3), and one of our own.
enum class Kind : uint8_t {
  kHardLink = 0,
  kFifo = 1,
  kCharacterDevice = 2,
  kFolder = 4,
  kBlockDevice = 6,
  kFile = 8,
  kSymlink = 10,
};

constexpr size_t kMaxName = 255;
constexpr size_t kMaxTarget = 4095;
constexpr size_t kMaxContent = 65536;
constexpr size_t kMaxDepth = 256;
// What both sides remember of files with several names, in bytes; each takes its path and so much more.
constexpr size_t kMaxLinkMemory = 2 << 20;
constexpr size_t kLinkCost = 64;

struct Entry {
  Kind kind = Kind::kFile;
  uint32_t mode = 0;  // the permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t atime_s = 0;
  uint32_t atime_ns = 0;
  int64_t mtime_s = 0;
  uint32_t mtime_ns = 0;
  uint64_t size = 0;
  uint64_t device = 0;
  // Of a file with several names: a number of its own, by which a hard link names it. 0: none.
  uint32_t link = 0;
  std::string_view name;  // one component; empty: the root
  std::string_view target;
};

// Appends a message.
void PutEntry(const Entry& entry, Bytes* out);
void PutMessage(MessageType type, Bytes* out);
// Room for so much content, to be written by the caller at once; it is good until `out` changes.
uint8_t* PutContent(uint64_t offset, size_t size, Bytes* out);

// False: it breaks the protocol. The views are within the body.
bool DecodeEntry(const uint8_t* body, size_t size, Entry* entry);

}  // namespace microvm::tree
