#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace microvm::core::image {

// SHA-256 of bytes that come one after the other. One thread.
class Sha256Stream {
 public:
  Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;
  ~Sha256Stream();

  void Add(const char* bytes, size_t count);
  // In hex; nothing can be added after it.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace microvm::core::image
