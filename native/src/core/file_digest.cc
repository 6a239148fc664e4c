// The low-level functions are deprecated in OpenSSL 3, and the only ones that need no provider, no
// configuration and no lock.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/file_digest.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/file_io.h"
#include "core/job_queue.h"

namespace microvm::core {
namespace {

// Small enough for a processor's cache, large enough that the call costs nothing.
constexpr size_t kBuffer = 256 * 1024;
constexpr unsigned kMaxThreads = 16;
// So far a thread may be ahead of the oldest chunk that is still being read.
constexpr uint64_t kWindow = 4 * kMaxThreads;

// One digest of an open file; the chunks are dealt out to the threads.
class ChunkedDigest {
 public:
  ChunkedDigest(int fd, uint64_t size, const DigestRequest& request, const Cancellation& cancellation)
      : fd_(fd),
        size_(size),
        count_(size / request.chunk_bytes + (size % request.chunk_bytes != 0 ? 1 : 0)),
        request_(request),
        cancellation_(cancellation) {
    SHA256_Init(&root_);
  }

  Result<FileDigest> Run();

 private:
  struct Chunk {
    uint64_t index = 0;
    bool is_hole = false;
  };
  struct Digested {
    bool is_done = false;
    Sha256 digest{};
  };

  void TakeChunks();
  std::optional<Chunk> NextChunk();
  void Add(uint64_t index, const Sha256& digest);
  uint64_t BeginOf(uint64_t index) const { return index * request_.chunk_bytes; }
  uint64_t EndOf(uint64_t index) const { return std::min(BeginOf(index) + request_.chunk_bytes, size_); }
  Result<Sha256> DigestChunk(uint64_t index, std::vector<unsigned char>* buffer);
  Status AddRange(uint64_t begin, uint64_t end, std::vector<unsigned char>* buffer, SHA256_CTX* context);
  Result<uint64_t> EndOfHole(uint64_t offset);
  Result<uint64_t> EndOfData(uint64_t offset, uint64_t end);
  const Sha256& DigestOfHole();
  void Fail(const SysError& error);

  const int fd_;
  const uint64_t size_;
  const uint64_t count_;
  const DigestRequest& request_;
  const Cancellation& cancellation_;
  std::once_flag hole_once_;
  Sha256 hole_digest_{};

  // Guards all below.
  std::mutex mutex_;
  std::condition_variable added_;
  uint64_t next_ = 0;
  // Chunks whose digests are in the root; those of the window behind them wait for their turn.
  uint64_t added_count_ = 0;
  Digested window_[kWindow];
  SHA256_CTX root_;
  // The hole that was found last.
  uint64_t hole_begin_ = 0;
  uint64_t hole_end_ = 0;
  Status status_;
};

const unsigned char* Zeros() {
  static const unsigned char kZeros[kBuffer] = {};
  return kZeros;
}

void AddZeros(uint64_t length, SHA256_CTX* context) {
  for (; length > 0; length -= std::min<uint64_t>(length, kBuffer)) {
    SHA256_Update(context, Zeros(), static_cast<size_t>(std::min<uint64_t>(length, kBuffer)));
  }
}

Result<FileDigest> ChunkedDigest::Run() {
  const unsigned processors = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
  JobQueue::ForData().RunTogether("mvm-digest", static_cast<size_t>(std::min<uint64_t>(processors, count_)),
                                  [this] { TakeChunks(); });
  if (!status_.Ok()) return status_.Error();
  // A file that shrank in a hole, or grew, is not the one that was asked about.
  struct stat now {};
  if (fstat(fd_, &now) != 0) return SysError::Last("fstat", request_.path);
  if (static_cast<uint64_t>(now.st_size) != size_) return SysError{EIO, "read", request_.path};
  FileDigest digest;
  digest.size_bytes = size_;
  SHA256_Final(digest.root.data(), &root_);
  return digest;
}

void ChunkedDigest::TakeChunks() {
  std::vector<unsigned char> buffer(kBuffer);
  while (const auto chunk = NextChunk()) {
    if (chunk->is_hole) {
      Add(chunk->index, DigestOfHole());
      continue;
    }
    auto digested = DigestChunk(chunk->index, &buffer);
    if (!digested.Ok()) return Fail(digested.Error());
    Add(chunk->index, digested.Value());
  }
}

// Empty at the end and after a failure. Waits while the window is full.
std::optional<ChunkedDigest::Chunk> ChunkedDigest::NextChunk() {
  std::unique_lock lock(mutex_);
  added_.wait(lock, [this] { return !status_.Ok() || next_ == count_ || next_ < added_count_ + kWindow; });
  if (status_.Ok() && cancellation_.IsRequested()) status_ = SysError{ECANCELED, "read", request_.path};
  if (!status_.Ok() || next_ == count_) return std::nullopt;
  const uint64_t index = next_++;
  const bool is_whole = EndOf(index) - BeginOf(index) == request_.chunk_bytes;
  return Chunk{index, is_whole && BeginOf(index) >= hole_begin_ && EndOf(index) <= hole_end_};
}

// The digests come into the root in the order of their chunks.
void ChunkedDigest::Add(uint64_t index, const Sha256& digest) {
  const std::lock_guard lock(mutex_);
  window_[index % kWindow] = {true, digest};
  const uint64_t added_before = added_count_;
  while (added_count_ < count_ && window_[added_count_ % kWindow].is_done) {
    Digested& oldest = window_[added_count_ % kWindow];
    SHA256_Update(&root_, oldest.digest.data(), oldest.digest.size());
    oldest.is_done = false;
    ++added_count_;
  }
  if (added_count_ != added_before) added_.notify_all();
}

Result<Sha256> ChunkedDigest::DigestChunk(uint64_t index, std::vector<unsigned char>* buffer) {
  const uint64_t end = EndOf(index);
  SHA256_CTX context;
  SHA256_Init(&context);
  for (uint64_t at = BeginOf(index); at < end;) {
    auto data = EndOfHole(at);
    if (!data.Ok()) return data.Error();
    const uint64_t hole_end = std::min(data.Value(), end);
    if (hole_end - at == request_.chunk_bytes) return DigestOfHole();
    AddZeros(hole_end - at, &context);
    at = hole_end;
    if (at == end) break;
    auto data_end = EndOfData(at, end);
    if (!data_end.Ok()) return data_end.Error();
    auto added = AddRange(at, data_end.Value(), buffer, &context);
    if (!added.Ok()) return added.Error();
    at = data_end.Value();
  }
  Sha256 digest;
  SHA256_Final(digest.data(), &context);
  return digest;
}

Status ChunkedDigest::AddRange(uint64_t begin, uint64_t end, std::vector<unsigned char>* buffer,
                               SHA256_CTX* context) {
  while (begin < end) {
    if (cancellation_.IsRequested()) return SysError{ECANCELED, "read", request_.path};
    const auto want = static_cast<size_t>(std::min<uint64_t>(kBuffer, end - begin));
    const ssize_t got =
        RetryOnSignal([&] { return pread(fd_, buffer->data(), want, static_cast<off_t>(begin)); });
    if (got < 0) return SysError::Last("read", request_.path);
    if (got == 0) return SysError{EIO, "read", request_.path};
    SHA256_Update(context, buffer->data(), static_cast<size_t>(got));
    begin += static_cast<uint64_t>(got);
  }
  return {};
}

// Where there is data again. Notes the hole, which later chunks lie in as well.
//
// All threads share the position of the descriptor and none uses it: each seek answers for itself.
Result<uint64_t> ChunkedDigest::EndOfHole(uint64_t offset) {
  if (cancellation_.IsRequested()) return SysError{ECANCELED, "read", request_.path};
  const off_t data = lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno == EINVAL) return offset;
  if (data < 0 && errno != ENXIO) return SysError::Last("lseek", request_.path);
  const uint64_t end = data < 0 ? size_ : static_cast<uint64_t>(data);
  const std::lock_guard lock(mutex_);
  if (end > hole_end_) {
    hole_begin_ = offset;
    hole_end_ = end;
  }
  return end;
}

Result<uint64_t> ChunkedDigest::EndOfData(uint64_t offset, uint64_t end) {
  const off_t hole = lseek(fd_, static_cast<off_t>(offset), SEEK_HOLE);
  if (hole < 0 && errno == EINVAL) return end;
  if (hole < 0) return SysError::Last("lseek", request_.path);
  // Made a hole since: what a read gives now counts.
  if (static_cast<uint64_t>(hole) <= offset) return std::min(offset + kBuffer, end);
  return std::min(static_cast<uint64_t>(hole), end);
}

const Sha256& ChunkedDigest::DigestOfHole() {
  std::call_once(hole_once_, [this] {
    SHA256_CTX context;
    SHA256_Init(&context);
    AddZeros(request_.chunk_bytes, &context);
    SHA256_Final(hole_digest_.data(), &context);
  });
  return hole_digest_;
}

void ChunkedDigest::Fail(const SysError& error) {
  const std::lock_guard lock(mutex_);
  if (status_.Ok()) status_ = error;
  added_.notify_all();
}

}  // namespace

Result<FileDigest> DigestFile(const DigestRequest& request, const Cancellation& cancellation) {
  auto file = OpenRegularFile(request.path, request.size);
  if (!file.Ok()) return file.Error();
  const auto size = static_cast<uint64_t>(file.Value().status.st_size);
  return ChunkedDigest(file.Value().fd.Get(), size, request, cancellation).Run();
}

}  // namespace microvm::core
