#include "core/tree_feed.h"

#include <cstring>

namespace microvm::core {
namespace {

constexpr size_t kHead = 5;
constexpr size_t kMaxMessage = tree::kMaxContent + 64;
// As much as a thread is worth to be woken for.
constexpr size_t kEnough = 256 * 1024;

}  // namespace

SysError ErrorOf(const FileFailure& failure, const std::string& root) {
  return SysError{failure.error, failure.call, failure.path.empty() ? root : failure.path};
}

// As many whole messages as there are.
FileFailure TreeFeed::Take(const uint8_t* data, size_t size, size_t* taken) {
  *taken = 0;
  while (size - *taken >= kHead) {
    uint32_t length = 0;
    std::memcpy(&length, data + *taken, sizeof(length));
    if (length < 1 || length > kMaxMessage) return {EPROTO, "read", {}};
    if (size - *taken < sizeof(length) + length) break;
    const uint8_t* message = data + *taken + sizeof(length);
    const FileFailure failure = receiver_.Take(message[0], message + 1, length - 1);
    if (failure) return failure;
    *taken += sizeof(length) + length;
  }
  return Success();
}

Result<TreeFeed::State> TreeFeed::Feed(const std::string& bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // SAFETY: characters as bytes.
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t taken = 0;
  if (!failure_ && rest_.empty()) {
    failure_ = Take(data, bytes.size(), &taken);
    rest_.assign(data + taken, data + bytes.size());
  } else if (!failure_) {
    rest_.insert(rest_.end(), data, data + bytes.size());
    failure_ = Take(rest_.data(), rest_.size(), &taken);
    rest_.erase(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(taken));
  }
  if (failure_) return ErrorOf(failure_, target_);
  return State{receiver_.counts(), receiver_.ended()};
}

Result<Bytes> TreeSource::Read() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Bytes bytes;
  bytes.reserve(kEnough + kMaxMessage);
  const FileFailure failure = sender_.Fill(kEnough, &bytes);
  if (failure) return ErrorOf(failure, path_);
  return bytes;
}

}  // namespace microvm::core
