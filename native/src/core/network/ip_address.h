#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace microvm::core {

// An address of either family, in network order. Plain data.
struct IpAddress {
  int family = 0;  // AF_INET or AF_INET6
  std::array<char, 16> bytes{};

  size_t Length() const;
  std::string_view Bytes() const { return {bytes.data(), Length()}; }
};

// An address with the length of its network's prefix: of an interface (10.0.0.1/30) or a network
// (10.0.0.0/30).
struct IpPrefix {
  IpAddress address;
  unsigned length = 0;

  // A network's address has none.
  bool HasHostBits() const;
};

using MacAddress = std::array<char, 6>;

// Empty when the text is not exactly that. No zones, no shortened IPv4, no host names.
std::optional<IpAddress> ParseIpAddress(const std::string& text);
std::optional<IpPrefix> ParseIpPrefix(const std::string& text);
std::optional<MacAddress> ParseMacAddress(const std::string& text);

// Empty when the number of bytes does not fit the family.
std::optional<IpAddress> IpAddressOf(int family, std::string_view bytes);

std::string FormatIp(const IpAddress& address);
std::string FormatIp(const IpPrefix& prefix);
// "02:00:00:00:00:01"; of any length.
std::string FormatMac(std::string_view bytes);

}  // namespace microvm::core
