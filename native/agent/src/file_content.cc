#include "file_content.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

namespace microvm::agent {
namespace {

std::string RandomName() {
  uint64_t number = 0;
  if (getrandom(&number, sizeof(number), 0) != static_cast<ssize_t>(sizeof(number)))
    number = static_cast<uint64_t>(getpid());
  char name[32];
  snprintf(name, sizeof(name), ".microvm-%016llx", static_cast<unsigned long long>(number));
  return name;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

FileFailure ReadOpenFile(int fd, uint64_t position, uint64_t length, FileChannel* channel) {
  const bool has_place = position != kNoPosition;
  while (length > 0) {
    const size_t most = std::min<uint64_t>(length, kMaxFileData);
    const ssize_t got = has_place ? pread(fd, channel->DataSpace(), most, static_cast<off_t>(position))
                                  : read(fd, channel->DataSpace(), most);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read");
    if (got == 0) break;
    const auto size = static_cast<size_t>(got);
    if (!channel->SendData(size)) break;
    length -= size;
    if (has_place) position += size;
    // A pipe or a terminal has no more now: whoever reads again waits for more.
    if (size < most) break;
  }
  return Success();
}

FileFailure ReadContent(const FileRequest& request, FileChannel* channel) {
  const UniqueFd file(open(request.path.c_str(), static_cast<int>(request.flags) | O_CLOEXEC, 0666));
  if (!file) return Failed("open");
  const bool has_place = request.position != kNoPosition;
  if (has_place && lseek(file.Get(), static_cast<off_t>(request.position), SEEK_SET) < 0)
    return Failed("read");
  // Not by its size: a file of /proc has none, and one that grows while it is read has another.
  for (uint64_t left = request.length; left > 0;) {
    const size_t most = std::min<uint64_t>(left, kMaxFileData);
    const ssize_t got = read(file.Get(), channel->DataSpace(), most);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read");
    if (got == 0 || !channel->SendData(static_cast<size_t>(got))) break;
    left -= static_cast<size_t>(got);
  }
  return Success();
}

FileFailure WriteOpenFile(int fd, uint64_t position, std::string_view data) {
  const bool has_place = position != kNoPosition;
  while (!data.empty()) {
    const ssize_t wrote = has_place ? pwrite(fd, data.data(), data.size(), static_cast<off_t>(position))
                                    : write(fd, data.data(), data.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return Failed("write");
    data.remove_prefix(static_cast<size_t>(wrote));
    if (has_place) position += static_cast<uint64_t>(wrote);
  }
  return Success();
}

FileFailure ContentWriter::Begin(const FileRequest& request) {
  request_ = request;
  if ((request.options & kWriteAtomic) != 0) return BeginAtomic();
  file_ = UniqueFd(open(request.path.c_str(), static_cast<int>(request.flags) | O_CLOEXEC, request.mode));
  return file_ ? Success() : Failed("open");
}

FileFailure ContentWriter::BeginAtomic() {
  target_ = request_.path;
  struct stat found {};
  if (lstat(target_.c_str(), &found) == 0 && S_ISLNK(found.st_mode)) {
    char resolved[PATH_MAX];
    if (realpath(target_.c_str(), resolved) == nullptr) return Failed("open");
    target_ = resolved;
  }
  const bool exists = stat(target_.c_str(), &found) == 0;
  if (!exists && errno != ENOENT) return Failed("open");
  if (exists && S_ISDIR(found.st_mode)) return {EISDIR, "open", {}};
  if (exists && !S_ISREG(found.st_mode)) return {EINVAL, "open", {}};
  // A rename needs no right to the file itself, but whoever may not write it shall not replace it.
  if (exists && access(target_.c_str(), W_OK) != 0) return Failed("open");
  folder_ = FolderOf(target_);
  // A file without a name leaves nothing behind, whatever ends the worker; by /proc it gets one.
  if (access("/proc/self/fd", X_OK) == 0)
    file_ = UniqueFd(open(folder_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, request_.mode));
  if (!file_) {
    const std::string name = folder_ + "/" + RandomName();
    file_ = UniqueFd(open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, request_.mode));
    if (!file_) return Failed("open");
    temporary_ = name;
  }
  if (!exists) return Success();
  // Only root can give a file away; and what the owner's change takes off the mode is put on again.
  [[maybe_unused]] const int given = fchown(file_.Get(), found.st_uid, found.st_gid);
  return fchmod(file_.Get(), found.st_mode & 07777) == 0 ? Success() : Failed("fchmod");
}

FileFailure ContentWriter::Write(std::string_view data) {
  const FileFailure failure = WriteOpenFile(file_.Get(), request_.position, data);
  if (request_.position != kNoPosition) request_.position += data.size();
  return failure;
}

FileFailure ContentWriter::Commit() {
  if (request_.options != 0 && fsync(file_.Get()) != 0) return Failed("fsync");
  if ((request_.options & kWriteAtomic) != 0) {
    const FileFailure failure = Publish();
    if (failure) return failure;
  }
  // Some file systems tell only now that there was no room.
  return close(file_.Release()) == 0 ? Success() : Failed("close");
}

FileFailure ContentWriter::Publish() {
  if (temporary_.empty()) {
    const std::string name = folder_ + "/" + RandomName();
    const std::string self = "/proc/self/fd/" + std::to_string(file_.Get());
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return Failed("link");
    temporary_ = name;
  }
  if (rename(temporary_.c_str(), target_.c_str()) != 0) return Failed("rename");
  temporary_.clear();
  const UniqueFd folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system whose folders need no such call.
  if (folder && fsync(folder.Get()) != 0 && errno != EINVAL) return Failed("fsync");
  return Success();
}

void ContentWriter::RemoveTemporary() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

}  // namespace microvm::agent
