// The low-level functions are deprecated in OpenSSL 3, and the only ones that need no provider, no
// configuration and no lock.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/file_digest.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "core/file_io.h"
#include "core/job_queue.h"

namespace microvm::core {
namespace {

// Small enough for a processor's cache, large enough that the call costs nothing.
constexpr size_t kBuffer = 256 * 1024;
constexpr unsigned kMaxThreads = 16;

// One digest of an open file; the chunks are dealt out to the threads.
class ChunkedDigest {
 public:
  ChunkedDigest(int fd, uint64_t size, const DigestRequest& request, const Cancellation& cancellation)
      : fd_(fd), size_(size), request_(request), cancellation_(cancellation) {}

  Result<FileDigest> Run();

 private:
  void TakeChunks();
  Status DigestChunk(size_t index, std::vector<unsigned char>* buffer);
  Status AddRange(uint64_t begin, uint64_t end, std::vector<unsigned char>* buffer, SHA256_CTX* context);
  Result<uint64_t> EndOfHole(uint64_t offset, uint64_t end);
  Result<uint64_t> EndOfData(uint64_t offset, uint64_t end);
  const Sha256& DigestOfHole();
  void Fail(const SysError& error);

  const int fd_;
  const uint64_t size_;
  const DigestRequest& request_;
  const Cancellation& cancellation_;
  std::vector<Sha256> chunks_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> has_failed_{false};
  std::mutex mutex_;
  Status status_;
  std::once_flag hole_once_;
  Sha256 hole_{};
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
  const uint64_t count = size_ / request_.chunk_bytes + (size_ % request_.chunk_bytes != 0 ? 1 : 0);
  chunks_.resize(static_cast<size_t>(count));
  const unsigned processors = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
  JobQueue::ForData().RunTogether("mvm-digest", std::min<size_t>(processors, chunks_.size()),
                                  [this] { TakeChunks(); });
  if (!status_.Ok()) return status_.Error();
  // A file that shrank in a hole, or grew, is not the one that was asked about.
  struct stat now {};
  if (fstat(fd_, &now) != 0) return SysError::Last("fstat", request_.path);
  if (static_cast<uint64_t>(now.st_size) != size_) return SysError{EIO, "read", request_.path};
  FileDigest digest;
  digest.size_bytes = size_;
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const Sha256& chunk : chunks_) SHA256_Update(&context, chunk.data(), chunk.size());
  SHA256_Final(digest.root.data(), &context);
  digest.chunks = std::move(chunks_);
  return digest;
}

void ChunkedDigest::TakeChunks() {
  std::vector<unsigned char> buffer(kBuffer);
  while (!has_failed_) {
    const size_t index = next_.fetch_add(1);
    if (index >= chunks_.size()) return;
    auto digested = DigestChunk(index, &buffer);
    if (!digested.Ok()) Fail(digested.Error());
  }
}

Status ChunkedDigest::DigestChunk(size_t index, std::vector<unsigned char>* buffer) {
  const uint64_t begin = index * request_.chunk_bytes;
  const uint64_t end = std::min(begin + request_.chunk_bytes, size_);
  SHA256_CTX context;
  SHA256_Init(&context);
  for (uint64_t at = begin; at < end;) {
    auto hole_end = EndOfHole(at, end);
    if (!hole_end.Ok()) return hole_end.Error();
    if (hole_end.Value() - at == request_.chunk_bytes) {
      chunks_[index] = DigestOfHole();
      return {};
    }
    AddZeros(hole_end.Value() - at, &context);
    at = hole_end.Value();
    if (at == end) break;
    auto data_end = EndOfData(at, end);
    if (!data_end.Ok()) return data_end.Error();
    auto added = AddRange(at, data_end.Value(), buffer, &context);
    if (!added.Ok()) return added;
    at = data_end.Value();
  }
  SHA256_Final(chunks_[index].data(), &context);
  return {};
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

// The position of the descriptor is shared by all threads, and used by none: each seek answers for itself.
Result<uint64_t> ChunkedDigest::EndOfHole(uint64_t offset, uint64_t end) {
  if (cancellation_.IsRequested()) return SysError{ECANCELED, "read", request_.path};
  const off_t data = lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) return end;
  if (data < 0 && errno == EINVAL) return offset;
  if (data < 0) return SysError::Last("lseek", request_.path);
  return std::min(static_cast<uint64_t>(data), end);
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
    SHA256_Final(hole_.data(), &context);
  });
  return hole_;
}

void ChunkedDigest::Fail(const SysError& error) {
  const std::lock_guard lock(mutex_);
  if (status_.Ok()) status_ = error;
  has_failed_ = true;
}

}  // namespace

Result<FileDigest> DigestFile(const DigestRequest& request, const Cancellation& cancellation) {
  auto file = OpenRegularFile(request.path);
  if (!file.Ok()) return file.Error();
  const auto size = static_cast<uint64_t>(file.Value().status.st_size);
  return ChunkedDigest(file.Value().fd.Get(), size, request, cancellation).Run();
}

}  // namespace microvm::core
