#include "file_calls.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "unique_fd.h"

namespace microvm::agent {
namespace {

constexpr int64_t kNsPerSecond = 1000000000;
constexpr size_t kCopyChunk = size_t{1} << 30;

FileFailure Check(int result, const char* call) { return result == 0 ? Success() : Failed(call); }

void PutTime(PayloadWriter* out, const statx_timestamp& time) {
  out->U64(static_cast<uint64_t>(time.tv_sec)).U32(time.tv_nsec);
}

FileFailure Stat(const FileRequest& request, int fd, Bytes* done) {
  struct statx found {};
  const bool is_open = request.target == FileTarget::kOpenFile;
  const bool is_link = request.target == FileTarget::kLink;
  const int flags = is_open ? AT_EMPTY_PATH : is_link ? AT_SYMLINK_NOFOLLOW : 0;
  const char* name = is_open ? "" : request.path.c_str();
  if (statx(is_open ? fd : AT_FDCWD, name, flags, STATX_BASIC_STATS | STATX_BTIME, &found) != 0)
    return Failed(is_open ? "fstat" : is_link ? "lstat" : "stat");
  PayloadWriter out;
  out.U64(makedev(found.stx_dev_major, found.stx_dev_minor)).U64(found.stx_ino).U32(found.stx_mode);
  out.U64(found.stx_nlink).U32(found.stx_uid).U32(found.stx_gid);
  out.U64(makedev(found.stx_rdev_major, found.stx_rdev_minor)).U64(found.stx_size);
  out.U64(found.stx_blksize).U64(found.stx_blocks);
  for (const auto& time : {found.stx_atime, found.stx_mtime, found.stx_ctime, found.stx_btime})
    PutTime(&out, time);
  *done = out.bytes();
  return Success();
}

// Makes a folder and its missing parents; `first` is the topmost one that was made.
FileFailure MakeFolders(const std::string& path, uint32_t mode, std::string* first) {
  std::vector<std::string> missing{path};
  while (!missing.empty()) {
    const std::string folder = missing.back();
    if (mkdir(folder.c_str(), mode) == 0) {
      if (first->empty()) *first = folder;
      missing.pop_back();
      continue;
    }
    if (errno == ENOENT) {
      const size_t end = folder.find_last_not_of('/');
      const size_t slash = end == std::string::npos ? end : folder.rfind('/', end);
      // A parent that was made and is missing again is removed by somebody else, for as long as they like.
      if (slash == std::string::npos || slash == 0 || !first->empty()) return {ENOENT, "mkdir", {}};
      missing.push_back(folder.substr(0, slash));
      continue;
    }
    if (errno != EEXIST) return Failed("mkdir");
    struct stat found {};
    if (stat(folder.c_str(), &found) != 0) return Failed("mkdir");
    if (!S_ISDIR(found.st_mode)) return {missing.size() > 1 ? ENOTDIR : EEXIST, "mkdir", {}};
    missing.pop_back();
  }
  return Success();
}

FileFailure Mkdir(const FileRequest& request, Bytes* done) {
  std::string first;
  const FileFailure failure = request.options == 0 ? Check(mkdir(request.path.c_str(), request.mode), "mkdir")
                                                   : MakeFolders(request.path, request.mode, &first);
  *done = PayloadWriter().Text(first, kMaxFilePath).bytes();
  return failure;
}

timespec TimeOf(int64_t ns) {
  int64_t seconds = ns / kNsPerSecond;
  int64_t rest = ns % kNsPerSecond;
  if (rest < 0) {
    rest += kNsPerSecond;
    seconds -= 1;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

FileFailure Utimes(const FileRequest& request, int fd) {
  const timespec times[2] = {TimeOf(request.atime_ns), TimeOf(request.mtime_ns)};
  if (request.target == FileTarget::kOpenFile) return Check(futimens(fd, times), "futime");
  const bool is_link = request.target == FileTarget::kLink;
  return Check(utimensat(AT_FDCWD, request.path.c_str(), times, is_link ? AT_SYMLINK_NOFOLLOW : 0),
               is_link ? "lutime" : "utime");
}

FileFailure Chown(const FileRequest& request, int fd) {
  const char* path = request.path.c_str();
  switch (request.target) {
    case FileTarget::kOpenFile:
      return Check(fchown(fd, request.uid, request.gid), "fchown");
    case FileTarget::kLink:
      return Check(lchown(path, request.uid, request.gid), "lchown");
    default:
      return Check(chown(path, request.uid, request.gid), "chown");
  }
}

FileFailure Chmod(const FileRequest& request, int fd) {
  if (request.target == FileTarget::kOpenFile) return Check(fchmod(fd, request.mode), "fchmod");
  return Check(chmod(request.path.c_str(), request.mode), "chmod");
}

FileFailure Truncate(const FileRequest& request, int fd) {
  const auto length = static_cast<off_t>(request.length);
  if (request.target == FileTarget::kOpenFile) return Check(ftruncate(fd, length), "ftruncate");
  // As Node does it.
  const UniqueFd file(open(request.path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) return Failed("open");
  return Check(ftruncate(file.Get(), length), "ftruncate");
}

FileFailure Readlink(const std::string& path, Bytes* done) {
  char target[PATH_MAX];
  const ssize_t size = readlink(path.c_str(), target, sizeof(target));
  if (size < 0) return Failed("readlink");
  *done = PayloadWriter().Text({target, static_cast<size_t>(size)}, kMaxFilePath).bytes();
  return Success();
}

FileFailure Realpath(const std::string& path, Bytes* done) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) return Failed("realpath");
  *done = PayloadWriter().Text(resolved, kMaxFilePath).bytes();
  return Success();
}

FileFailure Mkdtemp(const std::string& prefix, Bytes* done) {
  std::string name = prefix + "XXXXXX";
  if (mkdtemp(name.data()) == nullptr) return Failed("mkdtemp");
  *done = PayloadWriter().Text(name, kMaxFilePath).bytes();
  return Success();
}

bool CopyBytes(int from, int to) {
  for (;;) {
    const ssize_t copied = copy_file_range(from, nullptr, to, nullptr, kCopyChunk, 0);
    if (copied == 0) break;
    if (copied < 0) {
      if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return false;
      break;
    }
  }
  // The rest: file systems without that call, and files of /proc, whose size is 0 for it.
  std::vector<uint8_t> buffer(kMaxFileData);
  for (;;) {
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got == 0) return true;
    if (got < 0 || !WriteAll(to, buffer.data(), static_cast<size_t>(got))) return false;
  }
}

}  // namespace

FileFailure CopyFileContent(const std::string& from, const std::string& to, uint32_t mode) {
  constexpr const char* kCall = "copyfile";
  const UniqueFd source(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat found {};
  if (!source || fstat(source.Get(), &found) != 0) return Failed(kCall);
  if (S_ISDIR(found.st_mode)) return {EISDIR, kCall, {}};
  const int exclusive = (mode & kCopyExclusive) != 0 ? O_EXCL : 0;
  const UniqueFd target(open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | exclusive, found.st_mode & 07777));
  struct stat present {};
  if (!target || fstat(target.Get(), &present) != 0) return Failed(kCall);
  if (found.st_dev == present.st_dev && found.st_ino == present.st_ino) return Success();
  bool is_done = ftruncate(target.Get(), 0) == 0 || errno == EINVAL;
  // As libuv: file systems without modes refuse it, and the copy is none the worse.
  if (is_done && fchmod(target.Get(), found.st_mode & 07777) != 0 && errno != EPERM) is_done = false;
  if (is_done && (mode & (kCopyClone | kCopyCloneForce)) != 0) {
    if (ioctl(target.Get(), FICLONE, source.Get()) == 0) return Success();
    is_done = (mode & kCopyCloneForce) == 0;
  }
  if (is_done && CopyBytes(source.Get(), target.Get())) return Success();
  FileFailure failure = Failed(kCall);
  unlink(to.c_str());
  return failure;
}

bool RunFileCall(const FileRequest& request, int fd, FileFailure* failure, Bytes* done) {
  const char* path = request.path.c_str();
  const char* other = request.other.c_str();
  switch (request.op) {
    case FileOp::kStat:
      *failure = Stat(request, fd, done);
      return true;
    case FileOp::kMkdir:
      *failure = Mkdir(request, done);
      return true;
    case FileOp::kRename:
      *failure = Check(rename(path, other), "rename");
      return true;
    case FileOp::kCopyFile:
      *failure = CopyFileContent(request.path, request.other, request.mode);
      return true;
    case FileOp::kChmod:
      *failure = Chmod(request, fd);
      return true;
    case FileOp::kChown:
      *failure = Chown(request, fd);
      return true;
    case FileOp::kUtimes:
      *failure = Utimes(request, fd);
      return true;
    case FileOp::kSymlink:
      *failure = Check(symlink(path, other), "symlink");
      return true;
    case FileOp::kLink:
      *failure = Check(link(path, other), "link");
      return true;
    case FileOp::kReadlink:
      *failure = Readlink(request.path, done);
      return true;
    case FileOp::kRealpath:
      *failure = Realpath(request.path, done);
      return true;
    case FileOp::kTruncate:
      *failure = Truncate(request, fd);
      return true;
    case FileOp::kAccess:
      *failure = Check(access(path, static_cast<int>(request.mode)), "access");
      return true;
    case FileOp::kMkdtemp:
      *failure = Mkdtemp(request.path, done);
      return true;
    case FileOp::kUnlink:
      *failure = Check(unlink(path), "unlink");
      return true;
    case FileOp::kRmdir:
      *failure = Check(rmdir(path), "rmdir");
      return true;
    default:
      return false;
  }
}

}  // namespace microvm::agent
