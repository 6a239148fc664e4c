#include "file_request.h"

#include <fcntl.h>
#include <unistd.h>

namespace microvm::agent {
namespace {

constexpr uint32_t kKnownFlags = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
                                 O_DSYNC | O_DIRECTORY | O_NOFOLLOW;
constexpr uint32_t kMaxMode = 07777;

std::string Path(PayloadReader* in, bool* is_good) {
  const std::string_view path = in->Text(kMaxFilePath);
  *is_good = *is_good && !path.empty();
  return std::string(path);
}

FileTarget Target(PayloadReader* in, bool may_be_link, bool* is_good) {
  const uint8_t number = in->U8();
  *is_good = *is_good && (number == 0 || number == 2 || (number == 1 && may_be_link));
  return static_cast<FileTarget>(number);
}

uint8_t Options(PayloadReader* in, uint8_t known, bool* is_good) {
  const uint8_t options = in->U8();
  *is_good = *is_good && (options & ~known) == 0;
  return options;
}

uint32_t Flags(PayloadReader* in, bool* is_good) {
  const uint32_t flags = in->U32();
  *is_good = *is_good && (flags & ~kKnownFlags) == 0 && (flags & O_ACCMODE) != O_ACCMODE;
  return flags;
}

uint32_t Mode(PayloadReader* in, uint32_t most, bool* is_good) {
  const uint32_t mode = in->U32();
  *is_good = *is_good && mode <= most;
  return mode;
}

bool DecodeTwoPaths(PayloadReader* in, FileRequest* request, bool* is_good) {
  request->path = Path(in, is_good);
  request->other = Path(in, is_good);
  return true;
}

// Those that name a file by its path or are about the open one.
bool DecodeOfTarget(PayloadReader* in, FileRequest* request, bool* is_good) {
  const bool may_be_link =
      request->op == FileOp::kStat || request->op == FileOp::kChown || request->op == FileOp::kUtimes;
  switch (request->op) {
    case FileOp::kStat:
    case FileOp::kChmod:
    case FileOp::kChown:
    case FileOp::kUtimes:
    case FileOp::kTruncate:
      request->target = Target(in, may_be_link, is_good);
      break;
    default:
      return false;
  }
  if (request->op == FileOp::kChmod) request->mode = Mode(in, kMaxMode, is_good);
  if (request->op == FileOp::kChown) {
    request->uid = in->U32();
    request->gid = in->U32();
  }
  if (request->op == FileOp::kUtimes) {
    request->atime_ns = static_cast<int64_t>(in->U64());
    request->mtime_ns = static_cast<int64_t>(in->U64());
  }
  if (request->op == FileOp::kTruncate) {
    request->length = in->U64();
    *is_good = *is_good && request->length <= INT64_MAX;
  }
  if (request->target != FileTarget::kOpenFile) request->path = Path(in, is_good);
  return true;
}

bool DecodeOfPath(PayloadReader* in, FileRequest* request, bool* is_good) {
  switch (request->op) {
    case FileOp::kReaddir:
    case FileOp::kWatch:
      request->options = Options(in, 1, is_good);
      break;
    case FileOp::kMkdir:
      request->options = Options(in, 1, is_good);
      request->mode = Mode(in, kMaxMode, is_good);
      break;
    case FileOp::kRm:
      request->options = Options(in, kRmRecursive | kRmForce, is_good);
      break;
    case FileOp::kAccess:
      request->mode = Mode(in, R_OK | W_OK | X_OK, is_good);
      break;
    case FileOp::kReadlink:
    case FileOp::kRealpath:
    case FileOp::kMkdtemp:
    case FileOp::kUnlink:
    case FileOp::kRmdir:
      break;
    case FileOp::kSymlink:
    case FileOp::kLink:
    case FileOp::kRename:
      return DecodeTwoPaths(in, request, is_good);
    case FileOp::kCopyFile:
      request->mode = Mode(in, kCopyExclusive | kCopyClone | kCopyCloneForce, is_good);
      return DecodeTwoPaths(in, request, is_good);
    default:
      return false;
  }
  request->path = Path(in, is_good);
  return true;
}

bool DecodeOfContent(PayloadReader* in, size_t size, FileRequest* request, bool* is_good) {
  switch (request->op) {
    case FileOp::kReadFile:
      request->flags = Flags(in, is_good);
      request->position = in->U64();
      request->length = in->U64();
      request->path = Path(in, is_good);
      return true;
    case FileOp::kWriteFile:
      request->flags = Flags(in, is_good);
      request->mode = Mode(in, kMaxMode, is_good);
      request->options = Options(in, kWriteAtomic | kWriteFlush, is_good);
      request->position = in->U64();
      request->path = Path(in, is_good);
      return true;
    case FileOp::kOpen:
      request->flags = Flags(in, is_good);
      request->mode = Mode(in, kMaxMode, is_good);
      request->path = Path(in, is_good);
      return true;
    case FileOp::kRead:
      request->position = in->U64();
      request->length = in->U32();
      return true;
    case FileOp::kWrite:
      request->position = in->U64();
      request->data = in->Blob(kMaxFileData);
      *is_good = *is_good && !request->data.empty();
      return true;
    case FileOp::kReceiveTree:
      request->options = Options(in, kTreeOwners | kTreeDevices, is_good);
      request->path = Path(in, is_good);
      return true;
    case FileOp::kSendTree:
      request->options = Options(in, kTreeHardLinks, is_good);
      request->path = Path(in, is_good);
      return true;
    case FileOp::kSync:
      request->options = Options(in, 1, is_good);
      return true;
    case FileOp::kData:
      request->data = in->Raw(size);
      *is_good = *is_good && size > 0 && size <= kMaxFileData;
      return true;
    case FileOp::kClose:
    case FileOp::kCommit:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool DecodeFileRequest(uint8_t type, const uint8_t* body, size_t size, FileRequest* request) {
  PayloadReader in(body, size);
  request->op = static_cast<FileOp>(type);
  bool is_good = true;
  const bool is_known = DecodeOfTarget(&in, request, &is_good) || DecodeOfPath(&in, request, &is_good) ||
                        DecodeOfContent(&in, size, request, &is_good);
  // A position that is one fits the kernel's type.
  const bool has_place = request->position == kNoPosition || request->position <= INT64_MAX;
  return is_known && is_good && has_place && in.Done();
}

}  // namespace microvm::agent
