#include <sys/socket.h>

#include <thread>

#include "check.h"
#include "core/network/address.h"
#include "core/network/link.h"
#include "core/network/namespace.h"
#include "core/network/slot.h"

using namespace microvm::core;

namespace {

// The calls move their thread into other namespaces, so each has one of its own, as in the addon.
template <typename Work>
void OnOwnThread(Work work) {
  std::thread(work).join();
}

SlotPlan PlanOf(const std::string& netns, const std::string& host_name, int network) {
  const std::string base = "10.231." + std::to_string(network) + ".";
  SlotPlan plan;
  plan.netns = netns;
  plan.sysctls.emplace_back("net/ipv4/ip_forward", "1");
  TapPlan tap;
  tap.link.name = "tap0";
  tap.link.settings.is_up = true;
  tap.link.addresses.push_back(*ParseIpPrefix("172.31.0.1/30"));
  tap.owner = 1234;
  plan.taps.push_back(tap);
  VethPlan veth;
  veth.inside.name = "eth0";
  veth.inside.settings.is_up = true;
  veth.inside.addresses.push_back(*ParseIpPrefix(base + "2/30"));
  RoutePlan route;
  route.to = *ParseIpPrefix("0.0.0.0/0");
  route.via = ParseIpAddress(base + "1");
  veth.inside.routes.push_back(route);
  veth.host.name = host_name;
  veth.host.settings.is_up = true;
  veth.host.addresses.push_back(*ParseIpPrefix(base + "1/30"));
  plan.veths.push_back(veth);
  return plan;
}

bool HostHas(const std::string& name) {
  auto socket = NetlinkSocket::Open();
  return socket.Ok() && GetLink(&socket.Value(), name).Ok();
}

Status Create(const SlotPlan& plan, const Cancellation& cancellation = {}) {
  Status made;
  OnOwnThread([&] { made = CreateSlot(plan, cancellation); });
  return made;
}

// True when there was something and all went well.
bool Delete(const SlotPlan& plan) {
  bool was_there = false;
  OnOwnThread([&] {
    auto deleted = DeleteSlot(plan, Cancellation());
    was_there = deleted.Ok() && deleted.Value();
  });
  return was_there;
}

// "" when the whole life of a slot went well.
std::string Live(const SlotPlan& plan) {
  auto made = Create(plan);
  if (!made.Ok()) return std::string("create: ") + made.Error().syscall + " " + made.Error().object;
  std::string wrong;
  OnOwnThread([&] {
    auto socket = OpenSocketIn(plan.netns);
    auto addresses = ListAddresses(&socket.Value());
    if (!addresses.Ok() || addresses.Value().size() < 3) wrong = "addresses are missing";
  });
  if (!HostHas(plan.veths[0].host.name)) wrong = "the host's end is missing";
  if (!Delete(plan)) wrong = "not deleted";
  if (HostHas(plan.veths[0].host.name)) wrong = "the host's end is still there";
  return wrong;
}

std::string HostName(const char* role, int number) {
  return std::string("mvt") + role + std::to_string(getpid() % 100000) + "-" + std::to_string(number);
}

}  // namespace

TEST(makes_and_removes_slots_on_several_threads_at_once) {
  const microvm::test::TemporaryFolder folder;
  std::vector<std::thread> threads;
  std::vector<std::string> wrong(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const SlotPlan plan = PlanOf(folder / ("slot" + std::to_string(i)), HostName("p", i), i);
      for (int round = 0; round < 5 && wrong[i].empty(); ++round) wrong[i] = Live(plan);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& what : wrong) {
    if (!what.empty()) fprintf(stderr, "%s\n", what.c_str());
    CHECK(what.empty());
  }
}

TEST(a_cancelled_slot_leaves_nothing) {
  const microvm::test::TemporaryFolder folder;
  const SlotPlan plan = PlanOf(folder / "slot", HostName("c", 0), 9);
  for (int delay_us = 0; delay_us <= 4000; delay_us += 200) {
    Cancellation cancellation;
    std::thread cancel([&] {
      usleep(static_cast<useconds_t>(delay_us));
      cancellation.Cancel();
    });
    const auto made = Create(plan, cancellation);
    cancel.join();
    CHECK(made.Ok() || made.Error().number == ECANCELED);
    CHECK(made.Ok() == microvm::test::Exists(plan.netns));
    CHECK(made.Ok() == HostHas(plan.veths[0].host.name));
    CHECK(Delete(plan) == made.Ok());
  }
}

TEST(leaves_a_link_that_only_has_the_same_name) {
  const microvm::test::TemporaryFolder folder;
  const SlotPlan first = PlanOf(folder / "first", HostName("f", 0), 10);
  SlotPlan second = PlanOf(folder / "second", first.veths[0].host.name, 11);
  CHECK(Create(first).Ok());
  const auto made = Create(second);
  CHECK(!made.Ok() && made.Error().number == EEXIST && made.Error().object == first.veths[0].host.name);
  CHECK(!microvm::test::Exists(second.netns));
  CHECK(!Delete(second));
  CHECK(HostHas(first.veths[0].host.name));
  CHECK(Delete(first));
}

int main() {
  if (geteuid() != 0) {
    printf("skipped: network namespaces need root\n");
    return 0;
  }
  return microvm::test::RunTests();
}
