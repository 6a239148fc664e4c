#include <sys/socket.h>

#include "check.h"
#include "core/network/ip_address.h"

using namespace microvm::core;

namespace {

bool IsPrefix(const char* text) { return ParseIpPrefix(text).has_value(); }

std::string Again(const char* text) {
  const auto prefix = ParseIpPrefix(text);
  return prefix ? FormatIp(*prefix) : "none";
}

}  // namespace

TEST(reads_addresses_of_both_families) {
  CHECK(Again("10.0.0.1/30") == "10.0.0.1/30");
  CHECK(Again("0.0.0.0/0") == "0.0.0.0/0");
  CHECK(Again("FD00:0::1/64") == "fd00::1/64");
  CHECK(Again("::/0") == "::/0");
  CHECK(Again("::ffff:10.0.0.1/128") == "::ffff:10.0.0.1/128");
  CHECK(ParseIpAddress("10.0.0.1")->family == AF_INET && ParseIpAddress("::1")->family == AF_INET6);
}

TEST(refuses_everything_else) {
  for (const char* text :
       {"", "/", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/030", "10.0.0.1/-1", "10.0.0.1/1x",
        "10.0.0/8", "10.0.0.256/8", "010.0.0.1/8", "10.0.0.1 /8", "fd00::1/129", "fd00::1::/64",
        "fe80::1%eth0/64", "host/8", "10.0.0.1/8/8", "10.0.0.1/4294967304"}) {
    CHECK(!IsPrefix(text));
  }
}

TEST(knows_host_bits) {
  CHECK(ParseIpPrefix("10.0.0.1/30")->HasHostBits());
  CHECK(!ParseIpPrefix("10.0.0.4/30")->HasHostBits());
  CHECK(!ParseIpPrefix("10.0.0.1/32")->HasHostBits());
  CHECK(ParseIpPrefix("0.0.0.1/0")->HasHostBits());
  CHECK(!ParseIpPrefix("fd00:1::/33")->HasHostBits());
  CHECK(ParseIpPrefix("fd00:1:8000::/32")->HasHostBits());
}

TEST(reads_mac_addresses) {
  const auto mac = ParseMacAddress("02:aB:00:00:00:fF");
  CHECK(mac && FormatMac({mac->data(), mac->size()}) == "02:ab:00:00:00:ff");
  for (const char* text : {"", "02:ab:00:00:00", "02:ab:00:00:00:0", "02-ab-00-00-00-00", "02:ab:00:00:00:0g",
                           "02:ab:00:00:00:000", "02:ab:00:00:00:00:"}) {
    CHECK(!ParseMacAddress(text));
  }
}

TEST(takes_only_as_many_bytes_as_the_family_has) {
  CHECK(IpAddressOf(AF_INET, "abcd").has_value());
  CHECK(!IpAddressOf(AF_INET, "abcde") && !IpAddressOf(AF_INET6, "abcd") && !IpAddressOf(AF_UNIX, "abcd"));
}

RUN_TESTS()
