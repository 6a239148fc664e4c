#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/network/netlink_reply.h"
#include "core/network/records.h"

using namespace microvm::core;

namespace {

bool Decode(const NetlinkMessage& message) {
  std::vector<AddressRecord> addresses;
  std::vector<RouteRecord> routes;
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return DecodeLink(message.payload).has_value();
    case RTM_NEWADDR:
      return DecodeAddress(message.payload, &addresses);
    case RTM_NEWROUTE:
      return DecodeRoute(message.payload, &routes);
    case RTM_NEWNSID:
      return DecodeNamespaceId(message.payload).has_value();
    default:
      return true;
  }
}

// What was decoded must also be printable.
void Print(std::string_view payload) {
  std::vector<AddressRecord> addresses;
  std::vector<RouteRecord> routes;
  if (DecodeAddress(payload, &addresses)) {
    for (const AddressRecord& record : addresses) static_cast<void>(FormatIp(record.address));
  }
  if (DecodeRoute(payload, &routes)) {
    for (const RouteRecord& record : routes) {
      static_cast<void>(FormatIp(record.to));
      if (record.via) static_cast<void>(FormatIp(*record.via));
    }
  }
}

}  // namespace

// The first byte is the sequence number that is waited for, the rest one datagram of a reply.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // SAFETY: bytes as chars; libFuzzer keeps them for the call.
  const std::string_view datagram(reinterpret_cast<const char*>(data) + 1, size - 1);
  NetlinkReply reply(data[0], Decode);
  static_cast<void>(reply.Consume(datagram));
  // And the payloads alone, so that no header has to be guessed first.
  static_cast<void>(DecodeLink(datagram));
  static_cast<void>(DecodeNamespaceId(datagram));
  Print(datagram);
  return 0;
}
