#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace microvm::core {

// Builds one request: header, the family's fixed part, attributes.
class NetlinkRequest {
 public:
  NetlinkRequest(uint16_t type, uint16_t flags);

  // The family's fixed part: once, before any attribute.
  template <typename T>
  void SetFixed(const T& fixed) {
    Append(&fixed, sizeof fixed);
  }
  void Add(uint16_t type, std::string_view value);
  void AddNumber(uint16_t type, uint32_t value);
  // With the NUL at the end.
  void AddText(uint16_t type, const std::string& text);
  // What is added between the two is inside the attribute.
  size_t Open(uint16_t type);
  void Close(size_t opened);

  // The whole message.
  std::string_view Seal(uint32_t sequence);

 private:
  void Append(const void* bytes, size_t count);

  std::string bytes_;
};

// One message of a datagram; the views point into it.
struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t sequence = 0;
  std::string_view payload;
};

// Cuts a datagram into messages. Next() is false at the end, and at the first length that is impossible.
class NetlinkMessageReader {
 public:
  explicit NetlinkMessageReader(std::string_view datagram) : rest_(datagram) {}
  bool Next(NetlinkMessage* message);
  bool IsMalformed() const { return is_malformed_; }

 private:
  std::string_view rest_;
  bool is_malformed_ = false;
};

struct NetlinkAttribute {
  uint16_t type = 0;
  std::string_view value;

  // Empty when the size is another.
  std::optional<uint32_t> Number() const;
  std::optional<uint8_t> Byte() const;
  // Up to the first NUL, if there is one.
  std::string Text() const;
};

// The same for attributes, flat or nested.
class NetlinkAttributeReader {
 public:
  explicit NetlinkAttributeReader(std::string_view bytes) : rest_(bytes) {}
  bool Next(NetlinkAttribute* attribute);
  bool IsMalformed() const { return is_malformed_; }

 private:
  std::string_view rest_;
  bool is_malformed_ = false;
};

// Cuts the fixed part off the front, with its padding.
template <typename T>
bool TakeFixed(std::string_view* bytes, T* fixed) {
  if (bytes->size() < sizeof *fixed) return false;
  memcpy(fixed, bytes->data(), sizeof *fixed);
  const size_t padded = NLMSG_ALIGN(sizeof *fixed);
  bytes->remove_prefix(padded < bytes->size() ? padded : bytes->size());
  return true;
}

}  // namespace microvm::core
