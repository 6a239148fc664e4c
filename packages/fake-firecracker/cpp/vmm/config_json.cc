#include "vmm/config.h"

namespace microvm::fake {
namespace {

Value Maybe(const std::optional<std::string>& text) { return text ? Value::Text(*text) : Value(); }
Value Maybe(const std::optional<uint64_t>& number) { return number ? Value::Number(*number) : Value(); }

Value BucketJson(const std::optional<TokenBucket>& bucket) {
  if (!bucket) return Value();
  return Value::Object({{"size", Value::Number(bucket->size)},
                        {"one_time_burst", Maybe(bucket->one_time_burst)},
                        {"refill_time", Value::Number(bucket->refill_time)}});
}

Value LimiterJson(const std::optional<RateLimiter>& limiter) {
  if (!limiter) return Value();
  return Value::Object({{"bandwidth", BucketJson(limiter->bandwidth)}, {"ops", BucketJson(limiter->ops)}});
}

Value DriveJson(const Drive& drive) {
  const bool is_file = drive.path_on_host.has_value();
  return Value::Object({{"drive_id", Value::Text(drive.drive_id)},
                        {"partuuid", Maybe(drive.partuuid)},
                        {"is_root_device", Value::Bool(drive.is_root_device)},
                        {"cache_type", Value::Text(drive.cache_type)},
                        {"is_read_only", is_file ? Value::Bool(drive.is_read_only.value_or(false)) : Value()},
                        {"path_on_host", Maybe(drive.path_on_host)},
                        {"rate_limiter", LimiterJson(drive.rate_limiter)},
                        {"io_engine", is_file ? Value::Text(drive.io_engine.value_or("Sync")) : Value()},
                        {"socket", Maybe(drive.socket)}});
}

Value NicJson(const NetworkInterface& nic) {
  return Value::Object({{"iface_id", Value::Text(nic.iface_id)},
                        {"host_dev_name", Value::Text(nic.host_dev_name)},
                        {"guest_mac", Maybe(nic.guest_mac)},
                        {"mtu", Maybe(nic.mtu)},
                        {"rx_rate_limiter", LimiterJson(nic.rx_rate_limiter)},
                        {"tx_rate_limiter", LimiterJson(nic.tx_rate_limiter)}});
}

Value PmemJson(const Pmem& pmem) {
  return Value::Object({{"id", Value::Text(pmem.id)},
                        {"path_on_host", Value::Text(pmem.path_on_host)},
                        {"root_device", Value::Bool(pmem.root_device)},
                        {"read_only", Value::Bool(pmem.read_only)},
                        {"rate_limiter", LimiterJson(pmem.rate_limiter)}});
}

Value BootSourceJson(const std::optional<BootSource>& source) {
  return Value::Object({{"kernel_image_path", Value::Text(source ? source->kernel_image_path : "")},
                        {"initrd_path", source ? Maybe(source->initrd_path) : Value()},
                        {"boot_args", source ? Maybe(source->boot_args) : Value()}});
}

Value MmdsConfigJson(const MmdsConfig& mmds) {
  Value interfaces = Value::List();
  for (const std::string& id : mmds.network_interfaces) interfaces.items.push_back(Value::Text(id));
  return Value::Object({{"version", Value::Text(mmds.version)},
                        {"network_interfaces", std::move(interfaces)},
                        {"ipv4_address", Value::Text(mmds.ipv4_address.value_or("169.254.169.254"))},
                        {"imds_compat", Value::Bool(mmds.imds_compat)}});
}

template <typename T, typename Fn>
Value Listed(const std::vector<T>& items, Fn json) {
  Value list = Value::List();
  for (const T& item : items) list.items.push_back(json(item));
  return list;
}

}  // namespace

Value MachineJson(const MachineConfig& config) {
  Value json = Value::Object({{"vcpu_count", Value::Number(config.vcpu_count)},
                              {"mem_size_mib", Value::Number(config.mem_size_mib)},
                              {"smt", Value::Bool(config.smt)}});
  if (config.cpu_template && *config.cpu_template != "None")
    json.Set("cpu_template", Value::Text(*config.cpu_template));
  json.Set("track_dirty_pages", Value::Bool(config.track_dirty_pages));
  json.Set("huge_pages", Value::Text(config.huge_pages));
  return json;
}

Value BalloonJson(const Balloon& config) {
  return Value::Object({{"amount_mib", Value::Number(config.amount_mib)},
                        {"deflate_on_oom", Value::Bool(config.deflate_on_oom)},
                        {"stats_polling_interval_s", Value::Number(config.stats_polling_interval_s)},
                        {"free_page_hinting", Value::Bool(config.free_page_hinting)},
                        {"free_page_reporting", Value::Bool(config.free_page_reporting)}});
}

Value VmConfigJson(const VmConfig& config) {
  const auto& hotplug = config.memory_hotplug;
  return Value::Object(
      {{"balloon", config.balloon ? BalloonJson(*config.balloon) : Value()},
       {"drives", Listed(config.drives, DriveJson)},
       {"boot-source", BootSourceJson(config.boot_source)},
       {"cpu-config", Value()},
       {"logger", Value()},
       {"machine-config", MachineJson(config.machine)},
       {"metrics", Value()},
       {"mmds-config", config.mmds ? MmdsConfigJson(*config.mmds) : Value()},
       {"network-interfaces", Listed(config.nics, NicJson)},
       {"vsock", config.vsock ? Value::Object({{"guest_cid", Value::Number(config.vsock->guest_cid)},
                                               {"uds_path", Value::Text(config.vsock->uds_path)}})
                              : Value()},
       {"entropy", config.entropy
                       ? Value::Object({{"rate_limiter", LimiterJson(config.entropy->rate_limiter)}})
                       : Value()},
       {"pmem", Listed(config.pmem, PmemJson)},
       {"memory-hotplug", hotplug ? Value::Object({{"total_size_mib", Value::Number(hotplug->total_size_mib)},
                                                   {"block_size_mib", Value::Number(hotplug->block_size_mib)},
                                                   {"slot_size_mib", Value::Number(hotplug->slot_size_mib)}})
                                  : Value()}});
}

bool ReadVmConfig(Reader* in, VmConfig* out) {
  const auto any = [](Reader* each) {
    Value ignored;
    return each->Any(&ignored);
  };
  const auto optional = [](auto* target, auto read) {
    return [=](Reader* each) {
      bool is_null = false;
      if (!each->Null(&is_null)) return false;
      if (is_null) return true;
      target->emplace();
      return read(each, &**target);
    };
  };
  const auto list = [](auto* target, auto read) {
    return [=](Reader* each) {
      return each->List([=](Reader* item) {
        target->emplace_back();
        return read(item, &target->back());
      });
    };
  };
  return in->Object(
      {"VmmConfig",
       {{"balloon", true, optional(&out->balloon, ReadBalloon)},
        {"drives", true, list(&out->drives, ReadDrive)},
        {"boot-source", true, optional(&out->boot_source, ReadBootSource)},
        {"cpu-config", true, any},
        {"logger", true, any},
        {"machine-config", true, [=](Reader* each) { return ReadMachineConfig(each, &out->machine); }},
        {"metrics", true, any},
        {"mmds-config", true, optional(&out->mmds, ReadMmdsConfig)},
        {"network-interfaces", true, list(&out->nics, ReadNetworkInterface)},
        {"vsock", true, optional(&out->vsock, ReadVsock)},
        {"entropy", true, optional(&out->entropy, ReadEntropy)},
        {"pmem", true, list(&out->pmem, ReadPmem)},
        {"memory-hotplug", true, optional(&out->memory_hotplug, ReadMemoryHotplug)}}});
}

}  // namespace microvm::fake
