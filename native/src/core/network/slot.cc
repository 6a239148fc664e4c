#include "core/network/slot.h"

#include <fcntl.h>

#include "core/file_io.h"
#include "core/network/link.h"
#include "core/network/link_watch.h"
#include "core/network/namespace.h"
#include "core/network/tap.h"

namespace microvm::core {
namespace {

Status CheckNotCancelled(const Cancellation& cancellation, const std::string& netns) {
  if (cancellation.IsRequested()) return SysError{ECANCELED, "unshare", netns};
  return {};
}

// What the pair still lacks: see CreateVethPair.
Status FinishVeth(NetlinkSocket* host, NetlinkSocket* inside, const VethPlan& plan) {
  LinkSettings mark;
  mark.alias = SlotMark(inside->Netns());
  LinkSettings up;
  up.is_up = plan.inside.settings.is_up;
  Status done;
  if (!mark.alias.empty()) done = ChangeLink(host, plan.host.name, mark);
  if (done.Ok()) done = ChangeLink(inside, plan.inside.name, up);
  if (done.Ok()) done = ApplyAddressing(inside, plan.inside);
  if (done.Ok()) done = ApplyAddressing(host, plan.host);
  return done;
}

// A pair with addresses and routes at both ends, whole or not at all. The thread is in the namespace of
// `inside`.
Status BuildVeth(NetlinkSocket* host, NetlinkSocket* inside, int inside_netns, const VethPlan& plan) {
  auto done = CreateVethPair(host, plan, inside_netns);
  if (!done.Ok()) return done;
  done = FinishVeth(host, inside, plan);
  // Takes the other end with it.
  if (!done.Ok()) static_cast<void>(RemoveLink(inside, plan.inside.name));
  return done;
}

Status WriteSysctl(const std::string& name, const std::string& value) {
  const std::string path = "/proc/sys/" + name;
  auto file = OpenFile(path, O_WRONLY);
  if (!file.Ok()) return file.Error();
  return WriteAll(file.Value().Get(), value, path);
}

Status BuildInside(NetlinkSocket* host, const SlotPlan& plan, const Cancellation& cancellation) {
  auto netns = OpenOwnNamespace();
  if (!netns.Ok()) return netns.Error();
  auto inside = NetlinkSocket::Open(plan.netns);
  if (!inside.Ok()) return inside.Error();
  LinkSettings up;
  up.is_up = true;
  auto done = ChangeLink(&inside.Value(), "lo", up);
  for (size_t i = 0; done.Ok() && i < plan.sysctls.size(); ++i) {
    done = WriteSysctl(plan.sysctls[i].first, plan.sysctls[i].second);
  }
  for (size_t i = 0; done.Ok() && i < plan.taps.size(); ++i) {
    done = CheckNotCancelled(cancellation, plan.netns);
    if (done.Ok()) done = CreateTap(&inside.Value(), plan.taps[i]);
  }
  for (size_t i = 0; done.Ok() && i < plan.veths.size(); ++i) {
    done = CheckNotCancelled(cancellation, plan.netns);
    if (done.Ok()) done = BuildVeth(host, &inside.Value(), netns.Value().Get(), plan.veths[i]);
  }
  return done.Ok() ? CheckNotCancelled(cancellation, plan.netns) : done;
}

}  // namespace

Status CreateSlot(const SlotPlan& plan, const Cancellation& cancellation) {
  auto own = OpenOwnNamespace();
  if (!own.Ok()) return own.Error();
  auto host = NetlinkSocket::Open();
  if (!host.Ok()) return host.Error();
  auto done = CheckNotCancelled(cancellation, plan.netns);
  if (!done.Ok()) return done;
  done = CreateNamespace(plan.netns);
  if (!done.Ok()) return done;
  done = BuildInside(&host.Value(), plan, cancellation);
  if (done.Ok()) return done;
  // A thread inside would keep the namespace alive.
  static_cast<void>(EnterNamespace(own.Value(), {}));
  static_cast<void>(DeleteSlot(plan, Cancellation()));
  return done;
}

Status CreateVeth(const std::string& netns, const VethPlan& plan) {
  auto host = NetlinkSocket::Open();
  if (!host.Ok()) return host.Error();
  auto inside = OpenSocketIn(netns);
  if (!inside.Ok()) return inside.Error();
  auto inside_netns = OpenOwnNamespace();
  if (!inside_netns.Ok()) return inside_netns.Error();
  return BuildVeth(&host.Value(), &inside.Value(), inside_netns.Value().Get(), plan);
}

}  // namespace microvm::core
