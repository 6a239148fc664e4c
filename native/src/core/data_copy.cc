#include "core/data_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <ctime>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/job_queue.h"

namespace microvm::core {
namespace {

// What a thread takes at a time, and so between two looks at the cancellation.
constexpr uint64_t kChunk = 4u << 20;
// Small enough for a processor's cache.
constexpr size_t kBuffer = 256u << 10;
constexpr size_t kBlock = 4096;
// The writes into one file take turns in most file systems, so more threads only wait for each other.
constexpr uint64_t kMaxThreads = 4;
constexpr uint64_t kBytesPerThread = 16u << 20;
constexpr int64_t kProgressIntervalMs = 50;

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Whether copy_file_range only moves pages one by one here, which costs a tenth more than to read and write
// them in large pieces (ext4, Linux 6.18), and gains nothing by company. Others hand it to a server, or
// share.
bool IsLoopInKernel(int fd) {
  struct statfs status {};
  if (fstatfs(fd, &status) != 0) return false;
  return status.f_type == EXT4_SUPER_MAGIC || status.f_type == XFS_SUPER_MAGIC ||
         status.f_type == TMPFS_MAGIC;
}

// One copy of the data of an open file into another; the chunks are dealt out to the threads.
class DataCopy {
 public:
  DataCopy(const DataCopyRequest& request, const Cancellation& cancellation, const CopyProgress& on_progress)
      : request_(request),
        from_(request.from->fd.Get()),
        size_(static_cast<uint64_t>(request.from->status.st_size)),
        cancellation_(cancellation),
        on_progress_(on_progress) {}

  Result<CopyOutcome> Run();

 private:
  using Buffer = std::vector<unsigned char>;
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  size_t Threads() const;
  template <typename Copy>
  void TakeChunks(const Copy& copy);
  std::optional<Range> NextChunk();
  Result<Range> NextData(uint64_t offset);
  Status CopyInKernel(Range* range);
  Status CopyThroughMemory(Range* range, Buffer* buffer);
  Status WriteBlocks(uint64_t offset, const unsigned char* data, size_t length);
  Status WriteAt(uint64_t offset, const unsigned char* data, size_t length);
  void Done(uint64_t bytes);
  Status CheckSource() const;
  void Fail(const SysError& error);
  // While one thread is at work.
  bool IsAllDealt() const { return data_.begin == data_.end && data_.end >= size_; }
  SysError Shrank() const { return SysError{EIO, "copy_file_range", request_.from_path}; }

  const DataCopyRequest& request_;
  const int from_;
  const uint64_t size_;
  const Cancellation& cancellation_;
  const CopyProgress& on_progress_;
  std::atomic<bool> has_failed_{false};
  std::atomic<bool> was_in_memory_{false};
  std::atomic<uint64_t> data_bytes_{0};

  // Guards all below, and the position of from_, which the threads share.
  std::mutex mutex_;
  Range data_;  // not dealt out yet
  uint64_t done_bytes_ = 0;
  int64_t reported_ms_ = 0;
  Status status_;
};

Result<CopyOutcome> DataCopy::Run() {
  // What a reflink that failed half-way may have left goes. Only then: ext4 writes a file that was cut to
  // nothing to the disk when it is closed, and the close waits for that.
  struct stat target {};
  if (fstat(request_.to, &target) != 0) return SysError::Last("fstat", request_.to_path);
  if ((target.st_size != 0 && ftruncate(request_.to, 0) != 0) ||
      ftruncate(request_.to, static_cast<off_t>(size_)) != 0) {
    return SysError::Last("ftruncate", request_.to_path);
  }
  // What the kernel cannot do is left over.
  const bool in_kernel = !request_.punch_zeros && !(Threads() > 1 && IsLoopInKernel(from_));
  if (in_kernel) TakeChunks([this](Range* chunk, Buffer*) { return CopyInKernel(chunk); });
  if (!IsAllDealt()) {
    JobQueue::ForData().RunTogether("mvm-copy", Threads(), [this] {
      TakeChunks([this](Range* chunk, Buffer* buffer) { return CopyThroughMemory(chunk, buffer); });
    });
  }
  if (!status_.Ok()) return status_.Error();
  auto checked = CheckSource();
  if (!checked.Ok()) return checked.Error();
  if (on_progress_) on_progress_(size_, size_);
  return CopyOutcome{was_in_memory_ ? CopyMethod::kCopy : CopyMethod::kCopyFileRange, size_, data_bytes_};
}

size_t DataCopy::Threads() const {
  const auto allocated = static_cast<uint64_t>(request_.from->status.st_blocks) * 512;
  const uint64_t wanted = std::min(allocated, size_) / kBytesPerThread;
  const uint64_t processors = std::max(std::thread::hardware_concurrency(), 1u);
  return static_cast<size_t>(std::clamp<uint64_t>(wanted, 1, std::min(processors, kMaxThreads)));
}

// Until there are none, or `copy` leaves some of one.
template <typename Copy>
void DataCopy::TakeChunks(const Copy& copy) {
  Buffer buffer;
  while (!has_failed_) {
    if (cancellation_.IsRequested()) return Fail(SysError{ECANCELED, "copy_file_range", request_.from_path});
    auto chunk = NextChunk();
    if (!chunk) return;
    const uint64_t begin = chunk->begin;
    auto copied = copy(&*chunk, &buffer);
    if (!copied.Ok()) return Fail(copied.Error());
    Done(chunk->begin - begin);
    if (chunk->begin == chunk->end) continue;
    // Only the one thread that asks the kernel comes here.
    const std::lock_guard lock(mutex_);
    data_.begin = chunk->begin;
    return;
  }
}

// Empty at the end, and after a failure.
std::optional<DataCopy::Range> DataCopy::NextChunk() {
  const std::lock_guard lock(mutex_);
  if (data_.begin == data_.end) {
    auto next = NextData(data_.end);
    if (!next.Ok()) {
      if (status_.Ok()) status_ = next.Error();
      has_failed_ = true;
      return std::nullopt;
    }
    done_bytes_ += next.Value().begin - data_.end;
    data_ = next.Value();
  }
  const Range chunk{data_.begin, std::min(data_.begin + kChunk, data_.end)};
  data_.begin = chunk.end;
  if (chunk.begin == chunk.end) return std::nullopt;
  return chunk;
}

// Empty, at the end of the file, when there is no more.
Result<DataCopy::Range> DataCopy::NextData(uint64_t offset) {
  const Range none{size_, size_};
  if (offset >= size_) return none;
  const off_t begin = lseek(from_, static_cast<off_t>(offset), SEEK_DATA);
  if (begin < 0 && errno == ENXIO) return none;
  if (begin < 0 && errno == EINVAL) return Range{offset, size_};
  if (begin < 0) return SysError::Last("lseek", request_.from_path);
  // The source may have grown since.
  if (static_cast<uint64_t>(begin) >= size_) return none;
  const off_t end = lseek(from_, begin, SEEK_HOLE);
  if (end < 0 && errno == ENXIO) return Shrank();
  if (end < 0) return SysError::Last("lseek", request_.from_path);
  // Made a hole since: what a read gives now counts.
  if (end <= begin) return Range{static_cast<uint64_t>(begin), std::min(begin + kBlock, size_)};
  return Range{static_cast<uint64_t>(begin), std::min(static_cast<uint64_t>(end), size_)};
}

// Leaves what the kernel cannot do for these files.
Status DataCopy::CopyInKernel(Range* range) {
  while (range->begin < range->end) {
    auto in = static_cast<off_t>(range->begin);
    auto out = in;
    const ssize_t copied = RetryOnSignal(
        [&] { return copy_file_range(from_, &in, request_.to, &out, range->end - range->begin, 0); });
    // Nothing is the end of the file, or of what some file systems can: a read will tell.
    if (copied == 0) return {};
    if (copied < 0) {
      const bool is_unable = errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS;
      return is_unable ? Status() : SysError::Last("copy_file_range", request_.to_path);
    }
    range->begin += static_cast<uint64_t>(copied);
    data_bytes_ += static_cast<uint64_t>(copied);
  }
  return {};
}

Status DataCopy::CopyThroughMemory(Range* range, Buffer* buffer) {
  was_in_memory_ = true;
  buffer->resize(kBuffer);
  while (range->begin < range->end) {
    const auto want = static_cast<size_t>(std::min<uint64_t>(kBuffer, range->end - range->begin));
    const ssize_t got =
        RetryOnSignal([&] { return pread(from_, buffer->data(), want, static_cast<off_t>(range->begin)); });
    if (got < 0) return SysError::Last("read", request_.from_path);
    if (got == 0) return Shrank();
    const auto length = static_cast<size_t>(got);
    auto written = request_.punch_zeros ? WriteBlocks(range->begin, buffer->data(), length)
                                        : WriteAt(range->begin, buffer->data(), length);
    if (!written.Ok()) return written;
    range->begin += length;
  }
  return {};
}

// Writes what is not zero, in runs of whole blocks.
Status DataCopy::WriteBlocks(uint64_t offset, const unsigned char* data, size_t length) {
  static const unsigned char kZeros[kBlock] = {};
  size_t run = 0;
  for (size_t at = 0; at < length; at += kBlock) {
    const size_t block = std::min(kBlock, length - at);
    if (memcmp(data + at, kZeros, block) != 0) continue;
    auto written = WriteAt(offset + run, data + run, at - run);
    if (!written.Ok()) return written;
    run = at + block;
  }
  return WriteAt(offset + run, data + run, length - run);
}

Status DataCopy::WriteAt(uint64_t offset, const unsigned char* data, size_t length) {
  while (length > 0) {
    const ssize_t wrote =
        RetryOnSignal([&] { return pwrite(request_.to, data, length, static_cast<off_t>(offset)); });
    if (wrote < 0) return SysError::Last("write", request_.to_path);
    data += wrote;
    offset += static_cast<uint64_t>(wrote);
    length -= static_cast<size_t>(wrote);
    data_bytes_ += static_cast<uint64_t>(wrote);
  }
  return {};
}

void DataCopy::Done(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  done_bytes_ += bytes;
  if (!on_progress_ || NowMs() - reported_ms_ < kProgressIntervalMs) return;
  reported_ms_ = NowMs();
  // The whole is told at the end only.
  if (done_bytes_ < size_) on_progress_(done_bytes_, size_);
}

Status DataCopy::CheckSource() const {
  // A source that shrank in a hole looks like one that ends with it.
  struct stat now {};
  if (fstat(from_, &now) != 0) return SysError::Last("fstat", request_.from_path);
  if (static_cast<uint64_t>(now.st_size) < size_) return Shrank();
  if (now.st_nlink == 0 && request_.from->status.st_nlink > 0) {
    return SysError{ENOENT, "fstat", request_.from_path};
  }
  return {};
}

void DataCopy::Fail(const SysError& error) {
  const std::lock_guard lock(mutex_);
  if (status_.Ok()) status_ = error;
  has_failed_ = true;
}

}  // namespace

Result<CopyOutcome> CopyData(const DataCopyRequest& request, const Cancellation& cancellation,
                             const CopyProgress& on_progress) {
  auto accepted = request.size.Check(request.from->status, request.from_path);
  if (!accepted.Ok()) return accepted.Error();
  if (ioctl(request.to, FICLONE, request.from->fd.Get()) != 0) {
    return DataCopy(request, cancellation, on_progress).Run();
  }
  // The clone has the size that the source had at that very moment.
  struct stat cloned {};
  if (fstat(request.to, &cloned) != 0) return SysError::Last("fstat", request.to_path);
  accepted = request.size.Check(cloned, request.from_path);
  if (!accepted.Ok()) return accepted.Error();
  return CopyOutcome{CopyMethod::kReflink, static_cast<uint64_t>(cloned.st_size), 0};
}

}  // namespace microvm::core
