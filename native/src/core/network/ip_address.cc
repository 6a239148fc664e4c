#include "core/network/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace microvm::core {
namespace {

constexpr size_t kIpv4Bytes = 4;
constexpr size_t kIpv6Bytes = 16;

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::optional<unsigned> ParseLength(const std::string& text, unsigned highest) {
  if (text.empty() || text.size() > 3 || text.find_first_not_of("0123456789") != std::string::npos) return {};
  if (text.size() > 1 && text[0] == '0') return {};
  unsigned length = 0;
  for (const char digit : text) length = length * 10 + static_cast<unsigned>(digit - '0');
  if (length > highest) return {};
  return length;
}

}  // namespace

size_t IpAddress::Length() const { return family == AF_INET6 ? kIpv6Bytes : kIpv4Bytes; }

bool IpPrefix::HasHostBits() const {
  for (size_t bit = length; bit < address.Length() * 8; ++bit) {
    if ((static_cast<unsigned char>(address.bytes[bit / 8]) & (0x80u >> (bit % 8))) != 0) return true;
  }
  return false;
}

std::optional<IpAddress> ParseIpAddress(const std::string& text) {
  IpAddress address;
  address.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(address.family, text.c_str(), address.bytes.data()) != 1) return {};
  return address;
}

std::optional<IpPrefix> ParseIpPrefix(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return {};
  const auto address = ParseIpAddress(text.substr(0, slash));
  if (!address) return {};
  const auto length = ParseLength(text.substr(slash + 1), static_cast<unsigned>(address->Length() * 8));
  if (!length) return {};
  return IpPrefix{*address, *length};
}

std::optional<MacAddress> ParseMacAddress(const std::string& text) {
  MacAddress mac{};
  if (text.size() != mac.size() * 3 - 1) return {};
  for (size_t i = 0; i < mac.size(); ++i) {
    const int high = HexDigit(text[i * 3]);
    const int low = HexDigit(text[i * 3 + 1]);
    const bool is_separated = i + 1 == mac.size() || text[i * 3 + 2] == ':';
    if (high < 0 || low < 0 || !is_separated) return {};
    mac[i] = static_cast<char>(high * 16 + low);
  }
  return mac;
}

std::optional<IpAddress> IpAddressOf(int family, std::string_view bytes) {
  IpAddress address;
  address.family = family;
  if ((family != AF_INET && family != AF_INET6) || bytes.size() != address.Length()) return {};
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

std::string FormatIp(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.family, address.bytes.data(), text, sizeof text);
  return text;
}

std::string FormatIp(const IpPrefix& prefix) {
  return FormatIp(prefix.address) + "/" + std::to_string(prefix.length);
}

std::string FormatMac(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    if (!text.empty()) text += ':';
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

}  // namespace microvm::core
