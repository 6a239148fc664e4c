#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <memory>

#include "check.h"
#include "core/network/netlink_message.h"
#include "core/network/netlink_reply.h"
#include "core/network/records.h"

using namespace microvm::core;

namespace {

// In memory of exactly its size, so that a read behind the end is caught.
class Exact {
 public:
  explicit Exact(std::string_view bytes)
      : bytes_(std::make_unique<char[]>(bytes.size())), size_(bytes.size()) {
    memcpy(bytes_.get(), bytes.data(), size_);
  }
  std::string_view View() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_;
};

std::string PayloadOf(NetlinkRequest* request) { return std::string(request->Seal(1).substr(NLMSG_HDRLEN)); }

std::string Ip4(const char* text) { return std::string(ParseIpAddress(text)->Bytes()); }

std::string LinkPayload() {
  NetlinkRequest request(RTM_NEWLINK, 0);
  ifinfomsg header{};
  header.ifi_index = 7;
  header.ifi_flags = 0x1003;
  request.SetFixed(header);
  request.AddText(IFLA_IFNAME, "tap0");
  request.AddNumber(IFLA_MTU, 1400);
  request.Add(IFLA_ADDRESS, std::string_view("\x02\x00\x00\x00\x00\x1f", 6));
  request.AddText(IFLA_IFALIAS, "/run/slot");
  request.AddNumber(IFLA_LINK, 3);
  request.AddNumber(IFLA_LINK_NETNSID, static_cast<uint32_t>(-1));
  const size_t info = request.Open(IFLA_LINKINFO);
  request.AddText(IFLA_INFO_KIND, "tun");
  const size_t data = request.Open(IFLA_INFO_DATA);
  request.AddNumber(IFLA_TUN_OWNER, 1234);
  request.AddNumber(IFLA_TUN_GROUP, UINT32_MAX);
  request.Add(IFLA_TUN_TYPE, std::string(1, IFF_TAP));
  request.Add(IFLA_TUN_PERSIST, std::string(1, 1));
  request.Add(IFLA_TUN_VNET_HDR, std::string(1, 0));
  request.Add(IFLA_TUN_MULTI_QUEUE, std::string(1, 1));
  request.Close(data);
  request.Close(info);
  return PayloadOf(&request);
}

std::string AddressPayload() {
  NetlinkRequest request(RTM_NEWADDR, 0);
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = 30;
  header.ifa_index = 7;
  request.SetFixed(header);
  request.Add(IFA_ADDRESS, Ip4("10.0.0.2"));
  request.Add(IFA_LOCAL, Ip4("10.0.0.1"));
  request.AddNumber(IFA_FLAGS, 0x280);
  return PayloadOf(&request);
}

rtmsg RouteHeader(unsigned char prefix) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = prefix;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_type = RTN_UNICAST;
  return header;
}

std::string RoutePayload() {
  NetlinkRequest request(RTM_NEWROUTE, 0);
  request.SetFixed(RouteHeader(16));
  request.Add(RTA_DST, Ip4("10.1.0.0"));
  request.Add(RTA_GATEWAY, Ip4("10.0.0.2"));
  request.Add(RTA_PREFSRC, Ip4("10.0.0.1"));
  request.AddNumber(RTA_OIF, 7);
  request.AddNumber(RTA_PRIORITY, 100);
  request.AddNumber(RTA_TABLE, 1000);
  return PayloadOf(&request);
}

// A default route over two gateways.
std::string MultipathPayload() {
  NetlinkRequest request(RTM_NEWROUTE, 0);
  request.SetFixed(RouteHeader(0));
  std::string hops;
  for (const char* gateway : {"10.0.0.2", "10.0.0.6"}) {
    rtnexthop hop{};
    hop.rtnh_len = sizeof hop + 8;
    hop.rtnh_ifindex = gateway[7] - '0';
    // SAFETY: a plain structure of the kernel's interface as bytes.
    hops.append(reinterpret_cast<const char*>(&hop), sizeof hop);
    const nlattr attribute{8, RTA_GATEWAY};
    // SAFETY: as above.
    hops.append(reinterpret_cast<const char*>(&attribute), sizeof attribute);
    hops += Ip4(gateway);
  }
  request.Add(RTA_MULTIPATH, hops);
  return PayloadOf(&request);
}

std::string Acknowledgement(int error, uint16_t flags, const std::string& rest) {
  NetlinkRequest request(NLMSG_ERROR, 0);
  nlmsgerr header{};
  header.error = error;
  header.msg.nlmsg_len = NLMSG_HDRLEN;
  request.SetFixed(header);
  std::string bytes(request.Seal(5));
  bytes += rest;
  const auto length = static_cast<uint32_t>(bytes.size());
  memcpy(bytes.data(), &length, sizeof length);
  memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_flags), &flags, sizeof flags);
  return bytes;
}

std::string KernelMessage(const std::string& text) {
  NetlinkRequest request(0, 0);
  request.AddText(NLMSGERR_ATTR_MSG, text);
  return PayloadOf(&request);
}

}  // namespace

TEST(decodes_a_tap_device) {
  const auto link = DecodeLink(LinkPayload());
  CHECK(link.has_value());
  CHECK(link->index == 7 && link->name == "tap0" && link->mtu == 1400 && link->alias == "/run/slot");
  CHECK(link->mac == "02:00:00:00:00:1f");
  CHECK(link->kind == "tun" && link->peer_index == 3 && link->peer_netns_id == -1);
  CHECK(link->tun && link->tun->is_tap && link->tun->is_persistent && link->tun->is_multi_queue);
  CHECK(!link->tun->has_vnet_header && link->tun->owner == 1234u && !link->tun->group);
}

TEST(decodes_an_address_and_its_peer) {
  std::vector<AddressRecord> list;
  CHECK(DecodeAddress(AddressPayload(), &list) && list.size() == 1);
  CHECK(FormatIp(list[0].address) == "10.0.0.1/30" && FormatIp(*list[0].peer) == "10.0.0.2");
  CHECK(list[0].link_index == 7 && list[0].flags == 0x280);
}

TEST(decodes_routes_over_one_gateway_and_over_several) {
  std::vector<RouteRecord> list;
  CHECK(DecodeRoute(RoutePayload(), &list) && list.size() == 1);
  CHECK(FormatIp(list[0].to) == "10.1.0.0/16" && FormatIp(*list[0].via) == "10.0.0.2");
  CHECK(FormatIp(*list[0].source) == "10.0.0.1");
  CHECK(list[0].link_index == 7 && list[0].metric == 100 && list[0].table == 1000);
  list.clear();
  CHECK(DecodeRoute(MultipathPayload(), &list) && list.size() == 2);
  CHECK(FormatIp(list[0].to) == "0.0.0.0/0" && FormatIp(*list[0].via) == "10.0.0.2" &&
        list[0].link_index == 2);
  CHECK(FormatIp(*list[1].via) == "10.0.0.6" && list[1].link_index == 6);
}

TEST(passes_over_other_families) {
  std::string route = RoutePayload();
  route[0] = AF_BRIDGE;
  std::string address = AddressPayload();
  address[0] = AF_BRIDGE;
  std::vector<RouteRecord> routes;
  std::vector<AddressRecord> addresses;
  CHECK(DecodeRoute(route, &routes) && routes.empty());
  CHECK(DecodeAddress(address, &addresses) && addresses.empty());
}

TEST(refuses_values_that_cannot_be) {
  std::vector<AddressRecord> addresses;
  std::string address = AddressPayload();
  address[1] = 33;
  CHECK(!DecodeAddress(address, &addresses));
  address = AddressPayload();
  address[0] = AF_INET6;
  CHECK(!DecodeAddress(address, &addresses));
  std::vector<RouteRecord> routes;
  std::string route = RoutePayload();
  route[1] = 33;
  CHECK(!DecodeRoute(route, &routes));
  NetlinkRequest request(RTM_NEWLINK, 0);
  request.SetFixed(ifinfomsg{});
  request.Add(IFLA_MTU, "\1\1");
  CHECK(!DecodeLink(PayloadOf(&request)));
}

// No cut may read behind the end, and one inside an attribute is an error.
TEST(survives_every_cut_and_every_wrong_byte) {
  const std::string payloads[] = {LinkPayload(), AddressPayload(), RoutePayload(), MultipathPayload()};
  size_t refused = 0;
  for (const std::string& payload : payloads) {
    for (size_t at = 0; at < payload.size(); ++at) {
      const Exact cut(std::string_view(payload).substr(0, at));
      std::vector<AddressRecord> addresses;
      std::vector<RouteRecord> routes;
      if (!DecodeLink(cut.View())) ++refused;
      static_cast<void>(DecodeAddress(cut.View(), &addresses));
      static_cast<void>(DecodeRoute(cut.View(), &routes));
      for (const int value : {0, 1, 4, 0x7f, 0xff}) {
        std::string wrong = payload;
        wrong[at] = static_cast<char>(value);
        const Exact exact(wrong);
        static_cast<void>(DecodeLink(exact.View()));
        static_cast<void>(DecodeAddress(exact.View(), &addresses));
        static_cast<void>(DecodeRoute(exact.View(), &routes));
        static_cast<void>(DecodeNamespaceId(exact.View()));
      }
    }
  }
  CHECK(refused > 0);
}

TEST(decodes_the_number_of_a_namespace) {
  NetlinkRequest request(RTM_NEWNSID, 0);
  request.SetFixed(rtgenmsg{});
  request.AddNumber(NETNSA_NSID, static_cast<uint32_t>(-1));
  CHECK(DecodeNamespaceId(PayloadOf(&request)) == -1);
  CHECK(!DecodeNamespaceId(""));
}

TEST(follows_a_reply_to_its_end) {
  int seen = 0;
  NetlinkReply reply(
      5, [&](const NetlinkMessage& message) { return message.type == RTM_NEWLINK && ++seen > 0; });
  NetlinkRequest first(RTM_NEWLINK, 0);
  first.SetFixed(ifinfomsg{});
  NetlinkRequest other(RTM_NEWADDR, 0);
  std::string datagram(first.Seal(5));
  datagram += other.Seal(4);
  CHECK(reply.Consume(datagram) == NetlinkReply::State::kOpen);
  CHECK(reply.Consume(Acknowledgement(0, 0, "")) == NetlinkReply::State::kEnded);
  CHECK(seen == 1 && reply.ErrorNumber() == 0 && reply.KernelMessage().empty() && !reply.IsInterrupted());
}

TEST(tells_the_kernels_error_and_its_words) {
  NetlinkReply capped(5, {});
  const std::string message = KernelMessage("no such thing");
  CHECK(capped.Consume(Acknowledgement(-EEXIST, NLM_F_CAPPED | NLM_F_ACK_TLVS, message)) ==
        NetlinkReply::State::kEnded);
  CHECK(capped.ErrorNumber() == EEXIST && capped.KernelMessage() == "no such thing");
  // Without the cap the request comes back in between: here one of 4 bytes.
  std::string whole = Acknowledgement(-EPERM, NLM_F_ACK_TLVS, "abcd" + message);
  const uint32_t echoed = NLMSG_HDRLEN + 4;
  memcpy(whole.data() + NLMSG_HDRLEN + sizeof(int), &echoed, sizeof echoed);
  NetlinkReply uncapped(5, {});
  CHECK(uncapped.Consume(whole) == NetlinkReply::State::kEnded);
  CHECK(uncapped.ErrorNumber() == EPERM && uncapped.KernelMessage() == "no such thing");
}

TEST(refuses_replies_with_wrong_lengths) {
  const auto is_malformed = [](const std::string& datagram) {
    NetlinkReply reply(5, {});
    return reply.Consume(Exact(datagram).View()) == NetlinkReply::State::kMalformed;
  };
  CHECK(is_malformed("abc"));
  CHECK(is_malformed(Acknowledgement(-EPERM, 0, "").substr(0, 24)));
  CHECK(is_malformed(Acknowledgement(1, 0, "")));
  CHECK(is_malformed(Acknowledgement(INT32_MIN, 0, "")));
  CHECK(is_malformed(Acknowledgement(-EPERM, NLM_F_CAPPED | NLM_F_ACK_TLVS, "\xff\xff\1\1")));
  std::string echo = Acknowledgement(-EPERM, NLM_F_ACK_TLVS, "");
  const uint32_t too_long = 0xfffffff0;
  memcpy(echo.data() + NLMSG_HDRLEN + sizeof(int), &too_long, sizeof too_long);
  CHECK(is_malformed(echo));
  std::string no_length = Acknowledgement(0, 0, "");
  memset(no_length.data(), 0, sizeof(uint32_t));
  CHECK(is_malformed(no_length));
}

TEST(sees_an_interrupted_dump) {
  NetlinkRequest done(NLMSG_DONE, NLM_F_DUMP_INTR);
  done.SetFixed(int{0});
  NetlinkReply reply(5, {});
  CHECK(reply.Consume(done.Seal(5)) == NetlinkReply::State::kEnded);
  CHECK(reply.IsInterrupted() && reply.ErrorNumber() == 0);
}

RUN_TESTS()
