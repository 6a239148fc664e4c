#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace microvm::core {

// A failed system call: what Node calls code/errno, syscall and path.
struct SysError {
  int number = 0;
  const char* syscall = "";
  std::string path;
  // What the step was about when that is no file, such as a network interface; and the kernel's own words.
  std::string object = {};
  std::string detail = {};

  static SysError Last(const char* syscall, std::string path = {}) {
    return SysError{errno, syscall, std::move(path)};
  }
};

// Either a value or the error of the step that failed. Plain data, any thread.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(SysError error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool Ok() const { return state_.index() == 0; }
  // Only when Ok().
  T& Value() { return *std::get_if<0>(&state_); }
  // Only when not Ok().
  const SysError& Error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, SysError> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(SysError error) : error_(std::move(error)) {}

  bool Ok() const { return !error_.has_value(); }
  const SysError& Error() const { return *error_; }

 private:
  std::optional<SysError> error_;
};

using Status = Result<void>;

// Calls again what a signal interrupted.
template <typename Call>
auto RetryOnSignal(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace microvm::core
