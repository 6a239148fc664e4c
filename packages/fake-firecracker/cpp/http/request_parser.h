#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace microvm::fake {

enum class Method { kGet, kPut, kPatch, kDelete };

struct Request {
  Method method = Method::kGet;
  std::string uri;
  std::optional<std::string> body;
};

// Cuts the bytes of one connection into requests, as Firecracker's HTTP server does: its limits, its words,
// and its way of throwing away everything that came after an error.
class RequestParser {
 public:
  enum class Event { kNeedMore, kRequest, kContinue, kError };

  explicit RequestParser(size_t payload_limit) : payload_limit_(payload_limit) {}

  void Feed(std::string_view bytes) { buffer_ += bytes; }
  // kContinue: the client waits for `100 Continue` before it sends the body. kError: `error()` says what was
  // wrong.
  Event Next(Request* request);
  const std::string& error() const { return error_; }

 private:
  enum class State { kRequestLine, kHeaders, kBody };

  Event Fail(std::string message);
  bool TakeLine(std::string* line, bool* too_long);
  Event RequestLine(const std::string& line);
  Event Header(const std::string& line);
  Event HeadersEnd(Request* request);
  void Reset();

  size_t payload_limit_;
  std::string buffer_;
  State state_ = State::kRequestLine;
  Request request_;
  size_t body_size_ = 0;
  bool expects_continue_ = false;
  std::string error_;
};

// The bytes of an answer; a body only where there is one.
std::string ResponseBytes(int status, const std::optional<std::string>& body);
std::string ContinueBytes();
std::string TooManyConnectionsBytes();

}  // namespace microvm::fake
