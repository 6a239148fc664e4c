#include "core/durable_put.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "core/file_io.h"
#include "core/file_owner.h"

namespace microvm::core {
namespace {

constexpr unsigned kPrivateMode = 0600;
// Less than this the committer writes out together with the rest of its batch.
constexpr uint64_t kMuchData = 1u << 20;

Status SetOwner(int fd, const PutRequest& request, const struct stat& status) {
  return SetOwnerAndMode(fd, request.uid.value_or(status.st_uid), request.gid.value_or(status.st_gid),
                         request.mode.value_or(status.st_mode & 07777u), request.target);
}

// Writes the data out here, so that the committer's flush has only metadata left and small records that are
// committed together with this file do not wait for its data.
Status WriteOut(int fd, const std::string& path) {
  constexpr unsigned kWriteAndWait =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (sync_file_range(fd, 0, 0, kWriteAndWait) == 0 || errno == ENOSYS) return {};
  return SysError::Last("sync_file_range", path);
}

Result<CopyOutcome> FillByCopy(int fd, const PutRequest& request, const RegularFile& source,
                               const Cancellation& cancellation, const CopyProgress& on_progress) {
  DataCopyRequest data;
  data.from = &source;
  data.to = fd;
  data.from_path = request.from;
  data.to_path = request.target;
  data.punch_zeros = request.punch_zeros;
  data.size = request.size;
  return CopyData(data, cancellation, on_progress);
}

Result<CopyOutcome> FillWithData(int fd, const PutRequest& request) {
  auto written = WriteAll(fd, request.data, request.target);
  if (!written.Ok()) return written.Error();
  return CopyOutcome{CopyMethod::kCopy, request.data.size(), request.data.size()};
}

Result<PreparedPut> PrepareNew(const PutRequest& request, const Cancellation& cancellation,
                               const CopyProgress& on_progress) {
  RegularFile source;
  PutRequest wanted = request;
  if (request.source == PutRequest::Source::kCopy) {
    auto opened = OpenRegularFile(request.from, request.size);
    if (!opened.Ok()) return opened.Error();
    source = std::move(opened.Value());
    if (!wanted.mode) wanted.mode = source.status.st_mode & 0777u;
  } else if (!wanted.mode) {
    wanted.mode = kPrivateMode;
  }
  auto target = UnpublishedFile::Create(request.target, kPrivateMode);
  if (!target.Ok()) return target.Error();
  const int fd = target.Value().Fd();
  struct stat status {};
  if (fstat(fd, &status) != 0) return SysError::Last("fstat", request.target);
  // The owner comes first: no other user has the file while anything is in it.
  auto owned = SetOwner(fd, wanted, status);
  if (!owned.Ok()) return owned.Error();
  auto filled = request.source == PutRequest::Source::kData
                    ? FillWithData(fd, request)
                    : FillByCopy(fd, request, source, cancellation, on_progress);
  if (!filled.Ok()) return filled.Error();
  if (filled.Value().data_bytes >= kMuchData) {
    auto written = WriteOut(fd, request.target);
    if (!written.Ok()) return written.Error();
  }
  PreparedPut prepared;
  prepared.outcome = filled.Value();
  prepared.change.kind = DurableChange::Kind::kPublish;
  prepared.change.path = request.target;
  prepared.change.unpublished = std::make_unique<UnpublishedFile>(std::move(target.Value()));
  return prepared;
}

Result<PreparedPut> PrepareMove(const PutRequest& request) {
  // The name itself is moved, so a link is not the file that it leads to.
  auto opened = OpenRegularFile(request.from, request.size, O_NOFOLLOW);
  if (!opened.Ok()) return opened.Error();
  const int fd = opened.Value().fd.Get();
  auto owned = SetOwner(fd, request, opened.Value().status);
  if (!owned.Ok()) return owned.Error();
  auto written = WriteOut(fd, request.from);
  if (!written.Ok()) return written.Error();
  PreparedPut prepared;
  prepared.outcome.size_bytes = static_cast<uint64_t>(opened.Value().status.st_size);
  prepared.change.kind = DurableChange::Kind::kRename;
  prepared.change.path = request.from;
  prepared.change.target = request.target;
  prepared.change.content = std::move(opened.Value().fd);
  return prepared;
}

}  // namespace

Result<PreparedPut> PreparePut(const PutRequest& request, const Cancellation& cancellation,
                               const CopyProgress& on_progress) {
  auto prepared = request.source == PutRequest::Source::kMove
                      ? PrepareMove(request)
                      : PrepareNew(request, cancellation, on_progress);
  if (!prepared.Ok()) return prepared;
  if (cancellation.IsRequested()) return SysError{ECANCELED, "fsync", request.target};
  prepared.Value().change.replaces = request.replaces;
  return prepared;
}

}  // namespace microvm::core
