#include <linux/net_namespace.h>

#include "core/network/link.h"
#include "core/network/link_watch.h"
#include "core/network/namespace.h"
#include "core/network/slot.h"

namespace microvm::core {
namespace {

// IFALIASZ less its NUL.
constexpr size_t kMaxAlias = 255;

// The number of the slot's namespace in ours; -1 when there is none or it is not known here.
Result<int> FindNamespaceId(NetlinkSocket* host, const std::string& path) {
  auto netns = OpenNamespace(path);
  if (netns.Ok()) return NamespaceId(host, netns.Value(), path);
  if (!IsNoNamespace(netns.Error())) return netns.Error();
  return NETNSA_NSID_NOT_ASSIGNED;
}

bool BelongsTo(const LinkRecord& link, const SlotPlan& plan, int netns_id) {
  if (link.kind != "veth") return false;
  if (link.alias == SlotMark(plan.netns)) return true;
  // Made, but not yet marked when the maker died.
  return netns_id != NETNSA_NSID_NOT_ASSIGNED && link.peer_netns_id == netns_id;
}

Result<bool> RemoveHostLink(NetlinkSocket* host, const SlotPlan& plan, const std::string& name,
                            int netns_id) {
  auto link = GetLink(host, name);
  if (!link.Ok()) return link.Error().number == ENODEV ? Result<bool>(false) : link.Error();
  if (!BelongsTo(link.Value(), plan, netns_id)) return false;
  return RemoveLink(link.Value());
}

}  // namespace

std::string SlotMark(const std::string& netns) {
  return netns.size() <= kMaxAlias ? netns : netns.substr(netns.size() - kMaxAlias);
}

Result<bool> DeleteSlot(const SlotPlan& plan, const Cancellation& cancellation) {
  auto host = NetlinkSocket::Open();
  if (!host.Ok()) return host.Error();
  auto netns_id = FindNamespaceId(&host.Value(), plan.netns);
  if (!netns_id.Ok()) return netns_id.Error();
  bool was_there = false;
  // Before the namespace: it would take them with it too, but some time later.
  for (const VethPlan& veth : plan.veths) {
    if (cancellation.IsRequested()) return SysError{ECANCELED, "RTM_DELLINK", plan.netns, veth.host.name};
    auto removed = RemoveHostLink(&host.Value(), plan, veth.host.name, netns_id.Value());
    if (!removed.Ok()) return removed;
    was_there = was_there || removed.Value();
  }
  auto released = ReleaseNamespace(plan.netns);
  if (!released.Ok()) return released;
  return was_there || released.Value();
}

}  // namespace microvm::core
