#pragma once

#include <cerrno>
#include <string>
#include <utility>

namespace microvm {

// Why a call on files failed, as Node's errors say it. `path` is empty where it is the caller's own.
struct FileFailure {
  int error = 0;  // 0: it did not fail
  const char* call = "";
  std::string path;

  explicit operator bool() const { return error != 0; }
};

inline FileFailure Success() { return {}; }
// By errno.
inline FileFailure Failed(const char* call, std::string path = {}) { return {errno, call, std::move(path)}; }

}  // namespace microvm
