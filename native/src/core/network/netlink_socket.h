#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/handles.h"
#include "core/network/netlink_message.h"
#include "core/network/netlink_reply.h"
#include "core/result.h"

namespace microvm::core {

// What a request does and to what, for its error: "RTM_NEWLINK", "tap0".
struct NetlinkStep {
  const char* name;
  std::string object;
};

// A route netlink socket. It stays in the network namespace in which it was opened, wherever its thread goes
// later. One thread at a time.
class NetlinkSocket {
 public:
  // In the namespace of the calling thread. `netns` is the path of that, for errors: empty for the host's.
  static Result<NetlinkSocket> Open(std::string netns = {});

  // Sends a request and follows the reply to its end; the kernel's refusal is the error.
  Status Exchange(NetlinkRequest* request, const NetlinkStep& step,
                  const NetlinkReply::OnMessage& on_message = {});

  // Lists all there is: `decode` takes one payload into the list. Again when the list changed meanwhile.
  template <typename Record, typename Fixed>
  Result<std::vector<Record>> List(uint16_t type, const Fixed& fixed, const char* step,
                                   bool (*decode)(std::string_view, std::vector<Record>*)) {
    for (int attempt = 1;; ++attempt) {
      std::vector<Record> list;
      NetlinkRequest request(type, NLM_F_DUMP);
      request.SetFixed(fixed);
      auto listed = Exchange(&request, {step, {}},
                             [&](const NetlinkMessage& message) { return decode(message.payload, &list); });
      if (listed.Ok()) return list;
      if (listed.Error().number != EAGAIN || attempt == kMaxAttempts) return listed.Error();
    }
  }

  // The index of an interface; ENODEV when there is none of that name.
  Result<int> FindLink(const std::string& name);

  const std::string& Netns() const { return netns_; }
  SysError ErrorOf(int number, const NetlinkStep& step, std::string detail = {}) const;

 private:
  static constexpr int kMaxAttempts = 16;

  Result<std::string_view> Receive(const std::string& object);

  UniqueFd fd_;
  std::string netns_;
  std::vector<char> buffer_;
  uint32_t sequence_ = 0;
};

}  // namespace microvm::core
