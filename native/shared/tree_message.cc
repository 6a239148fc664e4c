#include "tree_message.h"

#include <cstring>

namespace microvm::tree {
namespace {

constexpr uint32_t kModeBits = 07777;
constexpr uint32_t kNsPerSecond = 1000000000;
constexpr size_t kHead = 5;

void PutHead(MessageType type, size_t body, Bytes* out) {
  const auto length = static_cast<uint32_t>(body + 1);
  const size_t at = out->size();
  out->resize(at + kHead);
  std::memcpy(out->data() + at, &length, sizeof(length));
  (*out)[at + sizeof(length)] = static_cast<uint8_t>(type);
}

bool IsName(std::string_view name) {
  return name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

bool IsKind(Kind kind) {
  switch (kind) {
    case Kind::kHardLink:
    case Kind::kFifo:
    case Kind::kCharacterDevice:
    case Kind::kFolder:
    case Kind::kBlockDevice:
    case Kind::kFile:
    case Kind::kSymlink:
      return true;
  }
  return false;
}

}  // namespace

void PutEntry(const Entry& entry, Bytes* out) {
  PayloadWriter body;
  body.U8(static_cast<uint8_t>(entry.kind)).U32(entry.mode & kModeBits).U32(entry.uid).U32(entry.gid);
  body.U64(static_cast<uint64_t>(entry.atime_s)).U32(entry.atime_ns);
  body.U64(static_cast<uint64_t>(entry.mtime_s)).U32(entry.mtime_ns);
  body.U64(entry.size).U64(entry.device).U32(entry.link);
  body.Text(entry.name, kMaxName).Text(entry.target, kMaxTarget);
  PutHead(MessageType::kEntry, body.bytes().size(), out);
  out->insert(out->end(), body.bytes().begin(), body.bytes().end());
}

void PutMessage(MessageType type, Bytes* out) { PutHead(type, 0, out); }

uint8_t* PutContent(uint64_t offset, size_t size, Bytes* out) {
  PutHead(MessageType::kContent, sizeof(offset) + size, out);
  const size_t at = out->size();
  out->resize(at + sizeof(offset) + size);
  std::memcpy(out->data() + at, &offset, sizeof(offset));
  return out->data() + at + sizeof(offset);
}

bool DecodeEntry(const uint8_t* body, size_t size, Entry* entry) {
  PayloadReader in(body, size);
  entry->kind = static_cast<Kind>(in.U8());
  entry->mode = in.U32();
  entry->uid = in.U32();
  entry->gid = in.U32();
  entry->atime_s = static_cast<int64_t>(in.U64());
  entry->atime_ns = in.U32();
  entry->mtime_s = static_cast<int64_t>(in.U64());
  entry->mtime_ns = in.U32();
  entry->size = in.U64();
  entry->device = in.U64();
  entry->link = in.U32();
  entry->name = in.Text(kMaxName);
  entry->target = in.Text(kMaxTarget);
  if (!in.Done() || !IsKind(entry->kind) || !IsName(entry->name)) return false;
  if (entry->mode > kModeBits || entry->atime_ns >= kNsPerSecond || entry->mtime_ns >= kNsPerSecond)
    return false;
  if (entry->target.empty() == (entry->kind == Kind::kSymlink)) return false;
  const bool may_link = entry->kind == Kind::kFile || entry->kind == Kind::kHardLink;
  if (entry->link != 0 ? !may_link : entry->kind == Kind::kHardLink) return false;
  return entry->size == 0 || (entry->kind == Kind::kFile && entry->size <= INT64_MAX);
}

}  // namespace microvm::tree
