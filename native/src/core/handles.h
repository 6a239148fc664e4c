#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

#include "unique_fd.h"

namespace microvm::core {

using microvm::UniqueFd;

// Owns one memory mapping. Move-only.
class Mmap {
 public:
  Mmap() = default;
  Mmap(void* address, size_t length) : address_(address), length_(length) {}
  Mmap(Mmap&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), length_(std::exchange(other.length_, 0)) {}
  Mmap& operator=(Mmap&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(length_, other.length_);
    return *this;
  }
  Mmap(const Mmap&) = delete;
  Mmap& operator=(const Mmap&) = delete;
  ~Mmap() {
    if (address_ != nullptr) munmap(address_, length_);
  }

  // Anonymous zeroed memory; empty when the kernel refuses.
  static Mmap Anonymous(size_t length, int extra_flags = 0) {
    void* address =
        mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);
    return address == MAP_FAILED ? Mmap() : Mmap(address, length);
  }

  explicit operator bool() const { return address_ != nullptr; }
  unsigned char* Bytes() const { return static_cast<unsigned char*>(address_); }
  size_t Length() const { return length_; }

 private:
  void* address_ = nullptr;
  size_t length_ = 0;
};

// Runs an action when the scope is left, unless dismissed.
template <typename Action>
class ScopeExit {
 public:
  explicit ScopeExit(Action action) : action_(std::move(action)) {}
  ScopeExit(const ScopeExit&) = delete;
  ScopeExit& operator=(const ScopeExit&) = delete;
  ~ScopeExit() {
    if (armed_) action_();
  }
  void Dismiss() { armed_ = false; }

 private:
  Action action_;
  bool armed_ = true;
};

}  // namespace microvm::core
