#include "core/network/address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "core/network/link.h"

namespace microvm::core {
namespace {

struct AddressStep {
  uint16_t type;
  uint16_t flags;
  const char* name;
};

Status Request(NetlinkSocket* socket, const AddressStep& step, const std::string& link,
               const IpPrefix& address) {
  auto index = socket->FindLink(link);
  if (!index.Ok()) return index.Error();
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.address.family);
  header.ifa_prefixlen = static_cast<uint8_t>(address.length);
  header.ifa_index = static_cast<uint32_t>(index.Value());
  if (address.address.family == AF_INET6) header.ifa_flags = IFA_F_NODAD;
  NetlinkRequest request(step.type, static_cast<uint16_t>(step.flags | NLM_F_ACK));
  request.SetFixed(header);
  request.Add(IFA_LOCAL, address.address.Bytes());
  request.Add(IFA_ADDRESS, address.address.Bytes());
  return socket->Exchange(&request, {step.name, FormatIp(address) + " dev " + link});
}

}  // namespace

Status AddAddress(NetlinkSocket* socket, const std::string& link, const IpPrefix& address) {
  return Request(socket, {RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "RTM_NEWADDR"}, link, address);
}

Result<bool> DeleteAddress(NetlinkSocket* socket, const std::string& link, const IpPrefix& address) {
  auto deleted = Request(socket, {RTM_DELADDR, 0, "RTM_DELADDR"}, link, address);
  if (deleted.Ok()) return true;
  const int number = deleted.Error().number;
  if (number == EADDRNOTAVAIL || number == ENODEV) return false;
  return deleted.Error();
}

Result<std::vector<AddressRecord>> ListAddresses(NetlinkSocket* socket) {
  auto addresses = socket->List<AddressRecord>(RTM_GETADDR, ifaddrmsg{}, "RTM_GETADDR", DecodeAddress);
  if (!addresses.Ok()) return addresses;
  auto named = NameLinks(socket, &addresses.Value());
  if (!named.Ok()) return named.Error();
  return addresses;
}

}  // namespace microvm::core
