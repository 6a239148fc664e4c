#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "numbers are copied to and from the wire as they are");

using Bytes = std::vector<uint8_t>;

// Reads the fields of one payload. Never reads beyond it: after the first field that does not fit, everything
// is zero and `Done` is false, so a message is checked once, at its end.
class PayloadReader {
 public:
  PayloadReader(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  uint8_t U8() { return Number<uint8_t>(); }
  uint16_t U16() { return Number<uint16_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  uint64_t U64() { return Number<uint64_t>(); }

  std::string_view Raw(size_t size) {
    if (!ok_ || size > left_) {
      ok_ = false;
      return {};
    }
    // SAFETY: bytes as characters, within the payload; the view lives no longer than it.
    std::string_view view(reinterpret_cast<const char*>(data_), size);
    data_ += size;
    left_ -= size;
    return view;
  }

  // Any bytes, as long as there are at most `max`.
  std::string_view Blob(size_t max) {
    const uint32_t size = U32();
    if (size > max) ok_ = false;
    return Raw(size);
  }

  // A string without NUL.
  std::string_view Text(size_t max) {
    const std::string_view text = Blob(max);
    if (text.find('\0') != std::string_view::npos) ok_ = false;
    return ok_ ? text : std::string_view();
  }

  bool ok() const { return ok_; }
  // Everything was there and nothing is left over.
  bool Done() const { return ok_ && left_ == 0; }

 private:
  template <typename T>
  T Number() {
    T value = 0;
    const std::string_view raw = Raw(sizeof(T));
    if (ok_) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  const uint8_t* data_;
  size_t left_;
  bool ok_ = true;
};

// Builds one payload.
class PayloadWriter {
 public:
  PayloadWriter& U8(uint8_t value) { return Number(value); }
  PayloadWriter& U16(uint16_t value) { return Number(value); }
  PayloadWriter& U32(uint32_t value) { return Number(value); }
  PayloadWriter& U64(uint64_t value) { return Number(value); }
  PayloadWriter& Raw(const void* data, size_t size) {
    if (size == 0) return *this;
    const size_t at = bytes_.size();
    bytes_.resize(at + size);
    std::memcpy(bytes_.data() + at, data, size);
    return *this;
  }
  // Longer text is cut at `max`: it is information, never an argument.
  PayloadWriter& Text(std::string_view text, size_t max) {
    text = text.substr(0, max);
    return U32(static_cast<uint32_t>(text.size())).Raw(text.data(), text.size());
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  template <typename T>
  PayloadWriter& Number(T value) {
    return Raw(&value, sizeof(value));
  }

  Bytes bytes_;
};

}  // namespace microvm

namespace microvm::agent {
using microvm::Bytes;
using microvm::PayloadReader;
using microvm::PayloadWriter;
}  // namespace microvm::agent
