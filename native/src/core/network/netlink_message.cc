#include "core/network/netlink_message.h"

namespace microvm::core {
namespace {

constexpr size_t kMessageHeader = NLMSG_HDRLEN;
constexpr size_t kAttributeHeader = NLA_HDRLEN;

// The last element may come without its padding.
void Skip(std::string_view* bytes, size_t length) {
  const size_t padded = NLMSG_ALIGN(length);
  bytes->remove_prefix(padded < bytes->size() ? padded : bytes->size());
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  Append(&header, sizeof header);
}

void NetlinkRequest::Append(const void* bytes, size_t count) {
  // SAFETY: plain structures of the kernel's interface as bytes.
  bytes_.append(static_cast<const char*>(bytes), count);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void NetlinkRequest::Add(uint16_t type, std::string_view value) {
  const size_t opened = Open(type);
  bytes_.append(value);
  Close(opened);
}

void NetlinkRequest::AddNumber(uint16_t type, uint32_t value) {
  char bytes[sizeof value];
  memcpy(bytes, &value, sizeof value);
  Add(type, {bytes, sizeof bytes});
}

void NetlinkRequest::AddText(uint16_t type, const std::string& text) {
  Add(type, {text.c_str(), text.size() + 1});
}

size_t NetlinkRequest::Open(uint16_t type) {
  const size_t opened = bytes_.size();
  nlattr header{};
  header.nla_type = type;
  Append(&header, sizeof header);
  return opened;
}

void NetlinkRequest::Close(size_t opened) {
  const auto length = static_cast<uint16_t>(bytes_.size() - opened);
  memcpy(bytes_.data() + opened + offsetof(nlattr, nla_len), &length, sizeof length);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

std::string_view NetlinkRequest::Seal(uint32_t sequence) {
  const auto length = static_cast<uint32_t>(bytes_.size());
  memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
  memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
  return bytes_;
}

bool NetlinkMessageReader::Next(NetlinkMessage* message) {
  if (rest_.empty() || is_malformed_) return false;
  nlmsghdr header{};
  if (rest_.size() >= kMessageHeader) memcpy(&header, rest_.data(), sizeof header);
  if (header.nlmsg_len < kMessageHeader || header.nlmsg_len > rest_.size()) {
    is_malformed_ = true;
    return false;
  }
  message->type = header.nlmsg_type;
  message->flags = header.nlmsg_flags;
  message->sequence = header.nlmsg_seq;
  message->payload = rest_.substr(kMessageHeader, header.nlmsg_len - kMessageHeader);
  Skip(&rest_, header.nlmsg_len);
  return true;
}

bool NetlinkAttributeReader::Next(NetlinkAttribute* attribute) {
  if (rest_.empty() || is_malformed_) return false;
  nlattr header{};
  if (rest_.size() >= kAttributeHeader) memcpy(&header, rest_.data(), sizeof header);
  if (header.nla_len < kAttributeHeader || header.nla_len > rest_.size()) {
    is_malformed_ = true;
    return false;
  }
  attribute->type = header.nla_type & NLA_TYPE_MASK;
  attribute->value = rest_.substr(kAttributeHeader, header.nla_len - kAttributeHeader);
  Skip(&rest_, header.nla_len);
  return true;
}

std::optional<uint32_t> NetlinkAttribute::Number() const {
  uint32_t number = 0;
  if (value.size() != sizeof number) return {};
  memcpy(&number, value.data(), sizeof number);
  return number;
}

std::optional<uint8_t> NetlinkAttribute::Byte() const {
  if (value.size() != 1) return {};
  return static_cast<uint8_t>(value[0]);
}

std::string NetlinkAttribute::Text() const { return std::string(value.substr(0, value.find('\0'))); }

}  // namespace microvm::core
