#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/network/ip_address.h"

namespace microvm::core {

// What shall be true of a link; what is left out stays as it is.
struct LinkSettings {
  std::optional<MacAddress> mac;
  std::optional<uint32_t> mtu;
  std::optional<bool> is_up;
  std::string new_name;
  std::string alias;
};

// A route through a link.
struct RoutePlan {
  IpPrefix to;
  std::optional<IpAddress> via;
  std::optional<IpAddress> source;
  std::optional<uint32_t> metric;
  // The gateway is on the link though no prefix of the link says so.
  bool is_on_link = false;
};

struct LinkPlan {
  std::string name;
  LinkSettings settings;
  std::vector<IpPrefix> addresses;
  std::vector<RoutePlan> routes;
};

struct TapPlan {
  LinkPlan link;
  std::optional<uid_t> owner;
  std::optional<gid_t> group;
  bool has_vnet_header = false;
  bool is_multi_queue = false;
};

struct VethPlan {
  LinkPlan inside;
  LinkPlan host;
};

// Routes belong to links and links to the namespace, so the names in here are all it takes to undo it.
struct SlotPlan {
  std::string netns;
  // Below /proc/sys, as in "net/ipv4/ip_forward", and the value.
  std::vector<std::pair<std::string, std::string>> sysctls;
  std::vector<TapPlan> taps;
  std::vector<VethPlan> veths;
};

}  // namespace microvm::core
