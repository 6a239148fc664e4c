#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "wire.h"

namespace microvm::agent {

constexpr size_t kMaxFileMessage = 131072;
constexpr size_t kMaxFilePath = 4095;
constexpr size_t kMaxFileData = 65536;
constexpr uint64_t kNoPosition = UINT64_MAX;

// What the host asks a file worker for, and what the worker answers: the numbers of docs/guest-protocol.md.
enum class FileOp : uint8_t {
  kStat = 0x01,
  kReaddir = 0x02,
  kMkdir = 0x03,
  kRm = 0x04,
  kRename = 0x05,
  kCopyFile = 0x06,
  kChmod = 0x07,
  kChown = 0x08,
  kUtimes = 0x09,
  kSymlink = 0x0A,
  kLink = 0x0B,
  kReadlink = 0x0C,
  kRealpath = 0x0D,
  kTruncate = 0x0E,
  kAccess = 0x0F,
  kMkdtemp = 0x10,
  kUnlink = 0x11,
  kRmdir = 0x12,
  kReadFile = 0x20,
  kWriteFile = 0x21,
  kOpen = 0x22,
  kRead = 0x23,
  kWrite = 0x24,
  kSync = 0x25,
  kClose = 0x26,
  kData = 0x30,
  kCommit = 0x31,
  kReceiveTree = 0x40,
  kSendTree = 0x41,
  kWatch = 0x60,
};

enum class FileAnswer : uint8_t {
  kDone = 0x80,
  kFailed = 0x81,
  kData = 0x82,
  kEntries = 0x83,
  kEvent = 0x84
};

// Which file a request is about.
enum class FileTarget : uint8_t { kPath = 0, kLink = 1, kOpenFile = 2 };

constexpr uint8_t kTreeOwners = 1;
constexpr uint8_t kTreeDevices = 2;
constexpr uint8_t kTreeHardLinks = 4;
constexpr uint8_t kRmRecursive = 1;
constexpr uint8_t kRmForce = 2;
constexpr uint8_t kWriteAtomic = 1;
constexpr uint8_t kWriteFlush = 2;
constexpr uint32_t kCopyExclusive = 1;
constexpr uint32_t kCopyClone = 2;
constexpr uint32_t kCopyCloneForce = 4;

// One request. The fields that its op does not have are left as they are here.
struct FileRequest {
  FileOp op = FileOp::kClose;
  FileTarget target = FileTarget::kPath;
  uint8_t options = 0;
  uint32_t flags = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t position = kNoPosition;
  uint64_t length = 0;
  int64_t atime_ns = 0;
  int64_t mtime_ns = 0;
  std::string path;
  std::string other;      // where a rename, a copy or a link goes to; the target of a symbolic link
  std::string_view data;  // within the message
};

// False: the message breaks the protocol.
bool DecodeFileRequest(uint8_t type, const uint8_t* body, size_t size, FileRequest* request);

}  // namespace microvm::agent
