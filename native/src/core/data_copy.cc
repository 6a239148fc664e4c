#include "core/data_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <optional>
#include <vector>

namespace microvm::core {
namespace {

// Between two looks at the cancellation; a few milliseconds on any disk.
constexpr uint64_t kChunk = 8u << 20;
constexpr size_t kBuffer = 1u << 20;
constexpr size_t kBlock = 4096;
constexpr int64_t kProgressIntervalMs = 50;

// One copy of the data of an open file into another; one thread.
class DataCopy {
 public:
  DataCopy(const DataCopyRequest& request, const Cancellation& cancellation, const CopyProgress& on_progress)
      : from_(request.from),
        to_(request.to),
        size_(request.size_bytes),
        request_(request),
        cancellation_(cancellation),
        on_progress_(on_progress),
        with_buffer_(request.punch_zeros) {}

  Status Run();
  uint64_t DataBytes() const { return data_bytes_; }
  CopyMethod Method() const { return with_buffer_ ? CopyMethod::kCopy : CopyMethod::kCopyFileRange; }

 private:
  Result<std::optional<std::pair<uint64_t, uint64_t>>> NextData(uint64_t offset);
  Status CopyRange(uint64_t begin, uint64_t end);
  Result<uint64_t> CopyInKernel(uint64_t begin, uint64_t end);
  Status CopyWithBuffer(uint64_t begin, uint64_t end);
  Status WriteBlocks(uint64_t offset, size_t length);
  Status WriteAt(uint64_t offset, const unsigned char* data, size_t length);
  void Report(uint64_t done);
  SysError Shrank() const { return SysError{EIO, "copy_file_range", request_.from_path}; }

  const int from_;
  const int to_;
  const uint64_t size_;
  const DataCopyRequest& request_;
  const Cancellation& cancellation_;
  const CopyProgress& on_progress_;
  bool with_buffer_;
  std::vector<unsigned char> buffer_;
  uint64_t data_bytes_ = 0;
  int64_t reported_ms_ = 0;
};

Status DataCopy::Run() {
  if (ftruncate(to_, static_cast<off_t>(size_)) != 0) return SysError::Last("ftruncate", request_.to_path);
  uint64_t offset = 0;
  while (offset < size_) {
    auto data = NextData(offset);
    if (!data.Ok()) return data.Error();
    if (!data.Value()) break;
    const auto [begin, end] = *data.Value();
    for (uint64_t at = begin; at < end; at += kChunk) {
      if (cancellation_.IsRequested()) return SysError{ECANCELED, "copy_file_range", request_.from_path};
      auto copied = CopyRange(at, std::min(at + kChunk, end));
      if (!copied.Ok()) return copied;
      Report(std::min(at + kChunk, end));
    }
    offset = end;
  }
  // A source that shrank in a hole looks like one that ends with it.
  struct stat now {};
  if (fstat(from_, &now) != 0) return SysError::Last("fstat", request_.from_path);
  if (static_cast<uint64_t>(now.st_size) < size_) return Shrank();
  if (on_progress_) on_progress_(size_, size_);
  return {};
}

Result<std::optional<std::pair<uint64_t, uint64_t>>> DataCopy::NextData(uint64_t offset) {
  using Range = std::optional<std::pair<uint64_t, uint64_t>>;
  const off_t begin = lseek(from_, static_cast<off_t>(offset), SEEK_DATA);
  if (begin < 0 && errno == ENXIO) return Range();
  if (begin < 0 && errno == EINVAL) return Range({offset, size_});
  if (begin < 0) return SysError::Last("lseek", request_.from_path);
  const off_t end = lseek(from_, begin, SEEK_HOLE);
  if (end < 0) return SysError::Last("lseek", request_.from_path);
  // The source may have grown since.
  if (static_cast<uint64_t>(begin) >= size_) return Range();
  return Range({static_cast<uint64_t>(begin), std::min(static_cast<uint64_t>(end), size_)});
}

Status DataCopy::CopyRange(uint64_t begin, uint64_t end) {
  if (!with_buffer_) {
    auto copied = CopyInKernel(begin, end);
    if (!copied.Ok()) return copied.Error();
    begin = copied.Value();
  }
  return begin < end ? CopyWithBuffer(begin, end) : Status();
}

// How far it came: short of the end, with_buffer_ is set, when the kernel cannot do it for these files.
Result<uint64_t> DataCopy::CopyInKernel(uint64_t begin, uint64_t end) {
  while (begin < end) {
    auto in = static_cast<off_t>(begin);
    auto out = static_cast<off_t>(begin);
    const ssize_t copied =
        RetryOnSignal([&] { return copy_file_range(from_, &in, to_, &out, end - begin, 0); });
    if (copied == 0) return Shrank();
    if (copied < 0) {
      if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
        return SysError::Last("copy_file_range", request_.to_path);
      }
      with_buffer_ = true;
      return begin;
    }
    begin += static_cast<uint64_t>(copied);
    data_bytes_ += static_cast<uint64_t>(copied);
  }
  return begin;
}

Status DataCopy::CopyWithBuffer(uint64_t begin, uint64_t end) {
  buffer_.resize(kBuffer);
  while (begin < end) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(kBuffer, end - begin));
    const ssize_t got =
        RetryOnSignal([&] { return pread(from_, buffer_.data(), want, static_cast<off_t>(begin)); });
    if (got < 0) return SysError::Last("read", request_.from_path);
    if (got == 0) return Shrank();
    const auto length = static_cast<size_t>(got);
    auto written = request_.punch_zeros ? WriteBlocks(begin, length) : WriteAt(begin, buffer_.data(), length);
    if (!written.Ok()) return written;
    begin += length;
  }
  return {};
}

// Writes what is not zero, in runs of whole blocks.
Status DataCopy::WriteBlocks(uint64_t offset, size_t length) {
  static const unsigned char kZeros[kBlock] = {};
  size_t run = 0;
  for (size_t at = 0; at < length; at += kBlock) {
    const size_t block = std::min(kBlock, length - at);
    if (memcmp(buffer_.data() + at, kZeros, block) != 0) continue;
    auto written = WriteAt(offset + run, buffer_.data() + run, at - run);
    if (!written.Ok()) return written;
    run = at + block;
  }
  return WriteAt(offset + run, buffer_.data() + run, length - run);
}

Status DataCopy::WriteAt(uint64_t offset, const unsigned char* data, size_t length) {
  while (length > 0) {
    const ssize_t wrote =
        RetryOnSignal([&] { return pwrite(to_, data, length, static_cast<off_t>(offset)); });
    if (wrote < 0) return SysError::Last("write", request_.to_path);
    data += wrote;
    offset += static_cast<uint64_t>(wrote);
    length -= static_cast<size_t>(wrote);
    data_bytes_ += static_cast<uint64_t>(wrote);
  }
  return {};
}

void DataCopy::Report(uint64_t done) {
  if (!on_progress_) return;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
  if (now_ms - reported_ms_ < kProgressIntervalMs) return;
  reported_ms_ = now_ms;
  on_progress_(done, size_);
}

}  // namespace

Result<CopyOutcome> CopyData(const DataCopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress) {
  CopyOutcome outcome;
  outcome.size_bytes = request.size_bytes;
  if (ioctl(request.to, FICLONE, request.from) == 0) return outcome;
  DataCopy copy(request, cancellation, on_progress);
  auto copied = copy.Run();
  if (!copied.Ok()) return copied.Error();
  outcome.method = copy.Method();
  outcome.data_bytes = copy.DataBytes();
  return outcome;
}

}  // namespace microvm::core
