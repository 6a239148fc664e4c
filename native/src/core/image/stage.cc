#include "core/image/stage.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/file_io.h"

namespace microvm::core::image {

Result<Stage> Stage::Create(const std::string& folder) {
  UniqueFd fd(RetryOnSignal([&] { return open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); }));
  if (fd) return Stage(folder, std::move(fd));
  // EOPNOTSUPP: this file system has no nameless files. EISDIR: nor has this kernel.
  if (errno != EOPNOTSUPP && errno != EISDIR) return SysError::Last("open", folder);
  const std::string name = folder + "/.tmp-" + RandomHex16();
  auto named = OpenFile(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!named.Ok()) return named.Error();
  if (unlink(name.c_str()) != 0) return SysError::Last("unlink", name);
  return Stage(folder, std::move(named.Value()));
}

Status Stage::Append(const char* bytes, size_t count) {
  auto written = WriteAll(fd_.Get(), {bytes, count}, folder_);
  if (written.Ok()) size_ += count;
  return written;
}

Status Stage::Read(uint64_t offset, char* buffer, size_t count) const {
  while (count > 0) {
    const ssize_t got =
        RetryOnSignal([&] { return pread(fd_.Get(), buffer, count, static_cast<off_t>(offset)); });
    if (got < 0) return SysError::Last("read", folder_);
    if (got == 0) return SysError{EIO, "read", folder_};
    offset += static_cast<uint64_t>(got);
    buffer += got;
    count -= static_cast<size_t>(got);
  }
  return {};
}

}  // namespace microvm::core::image
