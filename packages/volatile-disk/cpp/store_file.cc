#include "store_file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace microvm::disk {
namespace {

constexpr uint32_t kMaxTransfer = 1u << 20;
constexpr uint32_t kPageBytes = 4096;
constexpr size_t kRequestBytes = kMaxTransfer + kPageBytes;
constexpr uint64_t kForeverSeconds = 1u << 20;

template <typename T>
T Read(const std::byte* body) {
  T value;
  std::memcpy(&value, body, sizeof value);
  return value;
}

fuse_attr AttributesOf(const VolatileStore& store) {
  fuse_attr attributes{};
  attributes.ino = FUSE_ROOT_ID;
  attributes.size = store.SizeBytes();
  attributes.mode = S_IFREG | 0600;
  attributes.nlink = 1;
  attributes.blksize = kPageBytes;
  return attributes;
}

fuse_init_out Initial(const fuse_init_in& asked) {
  fuse_init_out initial{};
  initial.major = FUSE_KERNEL_VERSION;
  initial.minor = std::min<uint32_t>(asked.minor, FUSE_KERNEL_MINOR_VERSION);
  initial.max_readahead = 0;
  initial.flags = asked.flags & (FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_MAX_PAGES);
  initial.max_background = 64;
  initial.congestion_threshold = 48;
  initial.max_write = kMaxTransfer;
  initial.max_pages = kMaxTransfer / kPageBytes;
  initial.time_gran = 1;
  return initial;
}

}  // namespace

bool StoreFile::Mount(const std::string& path) {
  device_ = UniqueFd(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device_) return false;
  const std::string options = "fd=" + std::to_string(device_.Get()) + ",rootmode=100600,user_id=0,group_id=0";
  return mount("volatile-disk", path.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
}

void StoreFile::Serve() {
  std::vector<std::byte> request(kRequestBytes);
  for (;;) {
    const ssize_t size = read(device_.Get(), request.data(), request.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    if (size < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
    Answer(Read<fuse_in_header>(request.data()), request.data() + sizeof(fuse_in_header));
  }
}

void StoreFile::PowerOn() {
  const std::lock_guard<std::mutex> lock(mutex_);
  life_ += 1;
  has_power_ = true;
}

void StoreFile::CutAtFlush(Survival survival, uint64_t seed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  cut_at_flush_ = {survival, seed};
}

CutCounts StoreFile::Cut(Survival survival, uint64_t seed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (has_power_) CutNow(survival, seed);
  return last_cut_;
}

void StoreFile::CutNow(Survival survival, uint64_t seed) {
  has_power_ = false;
  cut_at_flush_.reset();
  last_cut_ = store_->Cut(survival, seed);
}

void StoreFile::Answer(const fuse_in_header& header, const std::byte* body) {
  const std::lock_guard<std::mutex> lock(mutex_);
  switch (header.opcode) {
    case FUSE_INIT: {
      const fuse_init_out initial = Initial(Read<fuse_init_in>(body));
      return Reply(header.unique, 0, &initial, sizeof initial);
    }
    case FUSE_GETATTR: {
      fuse_attr_out out{};
      out.attr_valid = kForeverSeconds;
      out.attr = AttributesOf(*store_);
      return Reply(header.unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: {
      fuse_open_out out{};
      out.fh = life_;
      out.open_flags = FOPEN_DIRECT_IO;
      return Reply(header.unique, 0, &out, sizeof out);
    }
    case FUSE_READ:
      return AnswerRead(header, body);
    case FUSE_WRITE:
      return AnswerWrite(header, body);
    case FUSE_FSYNC:
      return AnswerFlush(header, body);
    case FUSE_STATFS: {
      const fuse_statfs_out out{};
      return Reply(header.unique, 0, &out, sizeof out);
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_DESTROY:
      return Reply(header.unique, 0);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return;  // these have no reply
    default:
      return Reply(header.unique, ENOSYS);
  }
}

void StoreFile::AnswerRead(const fuse_in_header& header, const std::byte* body) {
  const auto read = Read<fuse_read_in>(body);
  if (!HasPower(read.fh)) return Reply(header.unique, EIO);
  const uint64_t size = store_->SizeBytes();
  const uint64_t count = read.offset >= size ? 0 : std::min<uint64_t>(read.size, size - read.offset);
  Reply(header.unique, 0, store_->At(std::min(read.offset, size)), count);
}

void StoreFile::AnswerWrite(const fuse_in_header& header, const std::byte* body) {
  const auto write = Read<fuse_write_in>(body);
  if (!HasPower(write.fh)) return Reply(header.unique, EIO);
  if (write.size > kMaxTransfer || write.offset > store_->SizeBytes() ||
      write.size > store_->SizeBytes() - write.offset) {
    return Reply(header.unique, ENOSPC);
  }
  store_->Write(write.offset, body + sizeof write, write.size);
  fuse_write_out out{};
  out.size = write.size;
  Reply(header.unique, 0, &out, sizeof out);
}

void StoreFile::AnswerFlush(const fuse_in_header& header, const std::byte* body) {
  const bool is_of_this_life = HasPower(Read<fuse_fsync_in>(body).fh);
  if (is_of_this_life && cut_at_flush_) CutNow(cut_at_flush_->first, cut_at_flush_->second);
  if (!is_of_this_life || !has_power_) return Reply(header.unique, EIO);
  store_->Flush();
  Reply(header.unique, 0);
}

void StoreFile::Reply(uint64_t unique, int error, const void* data, size_t size) {
  fuse_out_header header{};
  header.len = static_cast<uint32_t>(sizeof header + size);
  header.error = -error;
  header.unique = unique;
  const std::array<iovec, 2> parts{{{&header, sizeof header}, {const_cast<void*>(data), size}}};
  // A request that its caller has given up has nobody to answer: the next read tells when the mount is gone.
  static_cast<void>(writev(device_.Get(), parts.data(), size == 0 ? 1 : 2));
}

}  // namespace microvm::disk
