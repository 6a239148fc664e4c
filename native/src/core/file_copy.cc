#include "core/file_copy.h"

#include <sys/stat.h>

#include "core/file_io.h"
#include "core/unpublished_file.h"

namespace microvm::core {

Result<CopyOutcome> CopyFile(const CopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress) {
  auto source = OpenRegularFile(request.from, request.size);
  if (!source.Ok()) return source.Error();
  const unsigned mode = source.Value().status.st_mode & 0777;
  auto target = UnpublishedFile::Create(request.to, mode);
  if (!target.Ok()) return target.Error();
  DataCopyRequest data;
  data.from = &source.Value();
  data.to = target.Value().Fd();
  data.from_path = request.from;
  data.to_path = request.to;
  data.punch_zeros = request.punch_zeros;
  data.size = request.size;
  auto copied = CopyData(data, cancellation, on_progress);
  if (!copied.Ok()) return copied.Error();
  // The umask may have taken some of it.
  if (fchmod(data.to, mode) != 0) return SysError::Last("fchmod", request.to);
  if (cancellation.IsRequested()) return SysError{ECANCELED, "copy_file_range", request.from};
  auto published = target.Value().Publish(request.durable);
  if (!published.Ok()) return published.Error();
  return copied.Value();
}

}  // namespace microvm::core
