#include "http/request_parser.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace microvm::fake {
namespace {

constexpr size_t kLineLimit = 1024;
constexpr std::string_view kServer = "\r\nServer: Firecracker API\r\nConnection: keep-alive\r\n";

std::string_view Trimmed(std::string_view text) {
  const auto is_space = [](char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& byte : lower) byte = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
  return lower;
}

std::optional<Method> MethodOf(std::string_view name) {
  if (name == "GET") return Method::kGet;
  if (name == "PUT") return Method::kPut;
  if (name == "PATCH") return Method::kPatch;
  if (name == "DELETE") return Method::kDelete;
  return std::nullopt;
}

// The client refuses every coding, also none at all.
bool RefusesIdentity(std::string_view codings) {
  while (!codings.empty()) {
    const size_t end = std::min(codings.find(','), codings.size());
    const std::string_view coding = Trimmed(codings.substr(0, end));
    if (coding == "identity;q=0" || coding == "*;q=0") return true;
    codings.remove_prefix(std::min(end + 1, codings.size()));
  }
  return false;
}

}  // namespace

RequestParser::Event RequestParser::Fail(std::string message) {
  error_ = "{ \"error\": \"" + std::move(message) + "\nAll previous unanswered requests will be dropped.\" }";
  buffer_.clear();
  Reset();
  return Event::kError;
}

void RequestParser::Reset() {
  state_ = State::kRequestLine;
  request_ = Request();
  body_size_ = 0;
  expects_continue_ = false;
}

bool RequestParser::TakeLine(std::string* line, bool* too_long) {
  const size_t end = buffer_.find("\r\n");
  *too_long = end == std::string::npos ? buffer_.size() >= kLineLimit : end + 2 > kLineLimit;
  if (end == std::string::npos || *too_long) return false;
  *line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return true;
}

RequestParser::Event RequestParser::Next(Request* request) {
  for (;;) {
    if (state_ == State::kBody) {
      if (buffer_.size() < body_size_) return Event::kNeedMore;
      request_.body = buffer_.substr(0, body_size_);
      buffer_.erase(0, body_size_);
      *request = std::move(request_);
      Reset();
      return Event::kRequest;
    }
    std::string line;
    bool too_long = false;
    if (!TakeLine(&line, &too_long)) {
      if (!too_long) return Event::kNeedMore;
      if (state_ == State::kRequestLine) return Fail("Invalid request.");
      return Fail("Invalid header. Reason: Invalid content length. Header: " + buffer_.substr(0, kLineLimit));
    }
    Event event = Event::kNeedMore;
    if (state_ == State::kRequestLine) {
      event = RequestLine(line);
    } else if (!line.empty()) {
      event = Header(line);
    } else {
      event = HeadersEnd(request);
    }
    if (event != Event::kNeedMore) return event;
  }
}

RequestParser::Event RequestParser::RequestLine(const std::string& line) {
  const size_t method_end = line.find(' ');
  const size_t uri_end = method_end == std::string::npos ? std::string::npos : line.find(' ', method_end + 1);
  if (uri_end == std::string::npos) return Fail("Invalid request.");
  const std::optional<Method> method = MethodOf(std::string_view(line).substr(0, method_end));
  if (!method) return Fail("Invalid HTTP Method: Unsupported HTTP method.");
  const std::string uri = line.substr(method_end + 1, uri_end - method_end - 1);
  if (uri.empty()) return Fail("Invalid URI: Empty URI not allowed.");
  const std::string version = line.substr(uri_end + 1);
  if (version != "HTTP/1.0" && version != "HTTP/1.1")
    return Fail("Invalid HTTP Version: Unsupported HTTP version.");
  request_.method = *method;
  request_.uri = uri;
  state_ = State::kHeaders;
  return Event::kNeedMore;
}

RequestParser::Event RequestParser::Header(const std::string& line) {
  const size_t colon = line.find(':');
  if (colon == std::string::npos)
    return Fail("Invalid header. Reason: Header is incorrectly formatted. Key: " + line);
  const std::string key(Trimmed(std::string_view(line).substr(0, colon)));
  const std::string name = Lower(key);
  const std::string raw = line.substr(colon + 1);
  const std::string_view value = Trimmed(raw);
  if (name == "content-length") {
    uint32_t size = 0;
    const std::from_chars_result result = std::from_chars(value.data(), value.data() + value.size(), size);
    if (result.ec != std::errc() || result.ptr != value.data() + value.size() || value.empty())
      return Fail("Invalid header. Reason: Invalid value. Key:" + key + "; Value:" + raw);
    body_size_ = size;
  } else if (name == "expect") {
    expects_continue_ = expects_continue_ || value == "100-continue";
  } else if (name == "accept-encoding" && RefusesIdentity(value)) {
    return Fail("Invalid header. Reason: Invalid value. Key:" + key + "; Value:" + std::string(value));
  }
  return Event::kNeedMore;
}

RequestParser::Event RequestParser::HeadersEnd(Request* request) {
  if (body_size_ == 0) {
    *request = std::move(request_);
    Reset();
    return Event::kRequest;
  }
  if (body_size_ > payload_limit_)
    return Fail("Request payload with size " + std::to_string(body_size_) + " is larger than the limit of " +
                std::to_string(payload_limit_) + " allowed by server.");
  state_ = State::kBody;
  return expects_continue_ ? Event::kContinue : Event::kNeedMore;
}

std::string ResponseBytes(int status, const std::optional<std::string>& body) {
  std::string bytes = "HTTP/1.1 " + std::to_string(status) + " " + std::string(kServer);
  if (body)
    bytes += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body->size()) + "\r\n";
  return bytes + "\r\n" + body.value_or("");
}

std::string ContinueBytes() { return ResponseBytes(100, std::nullopt); }

std::string TooManyConnectionsBytes() {
  return "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
         "{ \"error\": \"Too many open connections\" }";
}

}  // namespace microvm::fake
