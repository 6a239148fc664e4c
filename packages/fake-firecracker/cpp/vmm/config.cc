#include "vmm/config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "vmm/version.h"

namespace microvm::fake {
namespace {

using Field = Reader::Field;

constexpr uint64_t kU8 = 0xFF;
constexpr uint64_t kU16 = 0xFFFF;
constexpr uint64_t kU32 = 0xFFFFFFFF;
constexpr uint64_t kU64 = UINT64_MAX;

template <typename T, typename Fn>
bool OrNull(Reader* in, std::optional<T>* out, Fn read) {
  bool is_null = false;
  if (!in->Null(&is_null)) return false;
  out->reset();
  if (is_null) return true;
  T value{};
  if (!read(in, &value)) return false;
  *out = std::move(value);
  return true;
}

bool ReadText(Reader* in, std::string* out) { return in->Text(out); }
bool ReadPath(Reader* in, std::string* out) { return in->Path(out); }
bool ReadBool(Reader* in, bool* out) { return in->Bool(out); }

Field Text(const char* name, std::string* out, bool required = true) {
  return {name, required, [=](Reader* in) { return in->Text(out); }};
}
Field Path(const char* name, std::string* out, bool required = true) {
  return {name, required, [=](Reader* in) { return in->Path(out); }};
}
Field Text(const char* name, std::optional<std::string>* out) {
  return {name, false, [=](Reader* in) { return OrNull(in, out, ReadText); }};
}
Field Path(const char* name, std::optional<std::string>* out) {
  return {name, false, [=](Reader* in) { return OrNull(in, out, ReadPath); }};
}
Field Flag(const char* name, bool* out, bool required = false) {
  return {name, required, [=](Reader* in) { return in->Bool(out); }};
}
Field Flag(const char* name, std::optional<bool>* out) {
  return {name, false, [=](Reader* in) { return OrNull(in, out, ReadBool); }};
}
Field Number(const char* name, uint64_t* out, uint64_t max, const char* type, bool required = true) {
  return {name, required, [=](Reader* in) { return in->Unsigned(max, type, out); }};
}
Field Number(const char* name, std::optional<uint64_t>* out, uint64_t max, const char* type) {
  return {name, false, [=](Reader* in) {
            return OrNull(in, out,
                          [=](Reader* each, uint64_t* value) { return each->Unsigned(max, type, value); });
          }};
}

bool ReadChoice(Reader* in, const std::vector<const char*>& names, std::string* out) {
  size_t index = 0;
  if (!in->Enum(names, &index)) return false;
  *out = names[index];
  return true;
}
Field Choice(const char* name, std::string* out, std::vector<const char*> names, bool required = false) {
  return {name, required, [=](Reader* in) { return ReadChoice(in, names, out); }};
}
Field Choice(const char* name, std::optional<std::string>* out, std::vector<const char*> names) {
  return {name, false, [=](Reader* in) {
            return OrNull(in, out,
                          [&](Reader* each, std::string* value) { return ReadChoice(each, names, value); });
          }};
}

bool ReadTokenBucket(Reader* in, TokenBucket* out) {
  return in->Object(
      {"TokenBucketConfig",
       {Number("size", &out->size, kU64, "u64"), Number("one_time_burst", &out->one_time_burst, kU64, "u64"),
        Number("refill_time", &out->refill_time, kU64, "u64")},
       false});
}
Field Bucket(const char* name, std::optional<TokenBucket>* out) {
  return {name, false, [=](Reader* in) { return OrNull(in, out, ReadTokenBucket); }};
}
bool ReadRateLimiter(Reader* in, RateLimiter* out) {
  return in->Object({"RateLimiterConfig", {Bucket("bandwidth", &out->bandwidth), Bucket("ops", &out->ops)}});
}
Field Limiter(const char* name, std::optional<RateLimiter>* out) {
  return {name, false, [=](Reader* in) { return OrNull(in, out, ReadRateLimiter); }};
}

const std::vector<const char*> kTemplates = {"C3", "T2", "T2S", "None", "T2CL", "T2A"};
const std::vector<const char*> kHugePages = {"None", "Transparent", "2M"};

// Six pairs of hexadecimal digits; written back in lower case.
bool ReadMac(Reader* in, std::string* out) {
  if (!in->Text(out)) return false;
  bool valid = out->size() == 17;
  for (size_t i = 0; valid && i < out->size(); i++) {
    const char byte = (*out)[i];
    valid = i % 3 == 2 ? byte == ':' : std::isxdigit(static_cast<unsigned char>(byte)) != 0;
    (*out)[i] = static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
  }
  return valid || in->Refuse("The provided MAC address is invalid.");
}
Field Mac(std::optional<std::string>* out) {
  return {"guest_mac", false, [=](Reader* in) { return OrNull(in, out, ReadMac); }};
}

bool ReadAddress(Reader* in, std::string* out) {
  if (!in->Text(out, "IPv4 address")) return false;
  in_addr address{};
  return inet_pton(AF_INET, out->c_str(), &address) == 1 || in->RefuseHere("invalid IPv4 address syntax");
}

}  // namespace

bool ReadMachineConfig(Reader* in, MachineConfig* out) {
  return in->Object({"MachineConfig",
                     {Number("vcpu_count", &out->vcpu_count, kU8, "u8"),
                      Number("mem_size_mib", &out->mem_size_mib, kU64, "usize"), Flag("smt", &out->smt),
                      Choice("cpu_template", &out->cpu_template, kTemplates),
                      Flag("track_dirty_pages", &out->track_dirty_pages),
                      Choice("huge_pages", &out->huge_pages, kHugePages)}});
}

bool ReadMachineUpdate(Reader* in, MachineUpdate* out) {
  return in->Object({"MachineConfigUpdate",
                     {Number("vcpu_count", &out->vcpu_count, kU8, "u8"),
                      Number("mem_size_mib", &out->mem_size_mib, kU64, "usize"), Flag("smt", &out->smt),
                      Choice("cpu_template", &out->cpu_template, kTemplates),
                      Flag("track_dirty_pages", &out->track_dirty_pages),
                      Choice("huge_pages", &out->huge_pages, kHugePages)}});
}

bool ReadBootSource(Reader* in, BootSource* out) {
  return in->Object({"BootSourceConfig",
                     {Text("kernel_image_path", &out->kernel_image_path),
                      Text("initrd_path", &out->initrd_path), Text("boot_args", &out->boot_args)}});
}

bool ReadDrive(Reader* in, Drive* out) {
  return in->Object(
      {"BlockDeviceConfig",
       {Text("drive_id", &out->drive_id), Text("partuuid", &out->partuuid),
        Flag("is_root_device", &out->is_root_device, true),
        Choice("cache_type", &out->cache_type, {"Unsafe", "Writeback"}),
        Flag("is_read_only", &out->is_read_only), Text("path_on_host", &out->path_on_host),
        Limiter("rate_limiter", &out->rate_limiter), Choice("io_engine", &out->io_engine, {"Async", "Sync"}),
        Text("socket", &out->socket)}});
}

bool ReadDriveUpdate(Reader* in, DriveUpdate* out) {
  return in->Object({"BlockDeviceUpdateConfig",
                     {Text("drive_id", &out->drive_id), Text("path_on_host", &out->path_on_host),
                      Limiter("rate_limiter", &out->rate_limiter)}});
}

bool ReadNetworkInterface(Reader* in, NetworkInterface* out) {
  return in->Object(
      {"NetworkInterfaceConfig",
       {Text("iface_id", &out->iface_id), Text("host_dev_name", &out->host_dev_name), Mac(&out->guest_mac),
        Number("mtu", &out->mtu, kU16, "u16"), Limiter("rx_rate_limiter", &out->rx_rate_limiter),
        Limiter("tx_rate_limiter", &out->tx_rate_limiter)}});
}

bool ReadNetworkUpdate(Reader* in, NetworkInterface* out) {
  return in->Object({"NetworkInterfaceUpdateConfig",
                     {Text("iface_id", &out->iface_id), Limiter("rx_rate_limiter", &out->rx_rate_limiter),
                      Limiter("tx_rate_limiter", &out->tx_rate_limiter)}});
}

bool ReadVsock(Reader* in, Vsock* out) {
  static std::optional<std::string> ignored_id;
  return in->Object({"VsockDeviceConfig",
                     {Text("vsock_id", &ignored_id), Number("guest_cid", &out->guest_cid, kU32, "u32"),
                      Text("uds_path", &out->uds_path)}});
}

bool ReadBalloon(Reader* in, Balloon* out) {
  return in->Object({"BalloonDeviceConfig",
                     {Number("amount_mib", &out->amount_mib, kU32, "u32"),
                      Flag("deflate_on_oom", &out->deflate_on_oom, true),
                      Number("stats_polling_interval_s", &out->stats_polling_interval_s, kU16, "u16", false),
                      Flag("free_page_hinting", &out->free_page_hinting),
                      Flag("free_page_reporting", &out->free_page_reporting)}});
}

bool ReadOneNumber(Reader* in, const char* struct_name, const char* field, uint64_t max, uint64_t* out) {
  return in->Object({struct_name,
                     {Number(field, out, max,
                             max == kU16   ? "u16"
                             : max == kU32 ? "u32"
                                           : "usize")}});
}

bool ReadMmdsConfig(Reader* in, MmdsConfig* out) {
  const auto interfaces = [out](Reader* each) {
    return each->List([out](Reader* item) {
      out->network_interfaces.emplace_back();
      return item->Text(&out->network_interfaces.back());
    });
  };
  return in->Object({"MmdsConfig",
                     {Choice("version", &out->version, {"V1", "V2"}),
                      {"network_interfaces", true, interfaces},
                      {"ipv4_address", false,
                       [out](Reader* each) { return OrNull(each, &out->ipv4_address, ReadAddress); }},
                      Flag("imds_compat", &out->imds_compat)}});
}

bool ReadEntropy(Reader* in, Entropy* out) {
  return in->Object({"EntropyDeviceConfig", {Limiter("rate_limiter", &out->rate_limiter)}});
}

bool ReadPmem(Reader* in, Pmem* out) {
  return in->Object({"PmemConfig",
                     {Text("id", &out->id), Text("path_on_host", &out->path_on_host),
                      Flag("root_device", &out->root_device), Flag("read_only", &out->read_only),
                      Limiter("rate_limiter", &out->rate_limiter)}});
}

bool ReadPmemUpdate(Reader* in, Pmem* out) {
  return in->Object(
      {"PmemDeviceUpdateConfig", {Text("id", &out->id), Limiter("rate_limiter", &out->rate_limiter)}});
}

bool ReadMemoryHotplug(Reader* in, MemoryHotplug* out) {
  return in->Object({"MemoryHotplugConfig",
                     {Number("total_size_mib", &out->total_size_mib, kU64, "usize"),
                      Number("block_size_mib", &out->block_size_mib, kU64, "usize", false),
                      Number("slot_size_mib", &out->slot_size_mib, kU64, "usize", false)}});
}

bool ReadLogger(Reader* in, LoggerConfig* out) {
  const auto level = [](Reader* each, std::string* value) {
    if (!each->Text(value)) return false;
    std::string upper;
    for (const char byte : *value) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(byte)));
    if (upper == "WARNING") upper = "WARN";
    for (const char* known : {"OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"}) {
      if (upper != known) continue;
      *value = upper;
      return true;
    }
    return each->Refuse("Invalid LevelFilter");
  };
  return in->Object({"LoggerConfig",
                     {Path("log_path", &out->log_path),
                      {"level", false, [=](Reader* each) { return OrNull(each, &out->level, level); }},
                      Flag("show_level", &out->show_level),
                      Flag("show_log_origin", &out->show_log_origin),
                      Text("module", &out->module)}});
}

bool ReadSerial(Reader* in, SerialConfig* out) {
  return in->Object(
      {"SerialConfig",
       {Path("serial_out_path", &out->serial_out_path), Bucket("rate_limiter", &out->rate_limiter)}});
}

bool ReadMetrics(Reader* in, std::string* path) {
  return in->Object({"MetricsConfig", {Path("metrics_path", path)}, false});
}

bool ReadCpuConfig(Reader* in) {
  const auto capability = [](Reader* each) {
    std::string text;
    if (!each->Text(&text)) return false;
    const size_t skip = !text.empty() && text[0] == '!' ? 1 : 0;
    uint32_t number = 0;
    const std::from_chars_result result =
        std::from_chars(text.data() + skip, text.data() + text.size(), number);
    if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return true;
    return each->Refuse(
        "Failed to parse string [" + text + "] as a kvm capability - can not convert to numeric: " +
        (text.size() == skip ? "cannot parse integer from empty string" : "invalid digit found in string"));
  };
  const auto list = [](const std::function<bool(Reader*)>& element) {
    return [element](Reader* each) { return each->List(element); };
  };
  const auto any = [](Reader* each) {
    Value ignored;
    return each->Any(&ignored);
  };
  // Of the modifiers only what must be there is checked; the double has no CPU that they could change.
  const auto cpuid = [any](Reader* each) {
    return each->Object(
        {"CpuidLeafModifier",
         {{"leaf", true, any}, {"subleaf", true, any}, {"flags", true, any}, {"modifiers", true, any}}});
  };
  const auto msr = [any](Reader* each) {
    return each->Object({"RegisterModifier", {{"addr", true, any}, {"bitmap", true, any}}});
  };
  return in->Object({"CustomCpuTemplate",
                     {{"kvm_capabilities", false, list(capability)},
                      {"cpuid_modifiers", false, list(cpuid)},
                      {"msr_modifiers", false, list(msr)}}});
}

bool ReadSnapshotCreate(Reader* in, SnapshotCreate* out) {
  const auto type = [out](Reader* each) {
    size_t index = 0;
    const bool read = each->Enum({"Diff", "Full"}, &index);
    out->is_diff = index == 0;
    return read;
  };
  std::vector<Field> fields = {{"snapshot_type", false, type},
                               Path("snapshot_path", &out->snapshot_path),
                               Path("mem_file_path", &out->mem_file_path)};
  if (ThisRelease().has_sync_snapshot_files) fields.push_back(Flag("sync_snapshot_files", &out->syncs_files));
  return in->Object({"CreateSnapshotParams", std::move(fields)});
}

bool ReadSnapshotLoad(Reader* in, SnapshotLoad* out) {
  const auto backend = [out](Reader* each) {
    return OrNull(each, &out->backend_type, [out](Reader* inner, std::string* type) {
      return inner->Object(
          {"MemBackendConfig",
           {Path("backend_path", &out->backend_path), Choice("backend_type", type, {"File", "Uffd"}, true)}});
    });
  };
  const auto overrides = [out](Reader* each) {
    return each->List([out](Reader* item) {
      NetworkInterface nic;
      const bool read =
          item->Object({"NetworkOverride",
                        {Text("iface_id", &nic.iface_id), Text("host_dev_name", &nic.host_dev_name)},
                        false});
      out->network_overrides.push_back(std::move(nic));
      return read;
    });
  };
  const auto vsock = [out](Reader* each) {
    return OrNull(each, &out->vsock_override, [](Reader* inner, std::string* path) {
      return inner->Object({"VsockOverride", {Text("uds_path", path)}, false});
    });
  };
  return in->Object({"LoadSnapshotConfig",
                     {Path("snapshot_path", &out->snapshot_path),
                      Path("mem_file_path", &out->mem_file_path),
                      {"mem_backend", false, backend},
                      Flag("enable_diff_snapshots", &out->enable_diff_snapshots),
                      Flag("track_dirty_pages", &out->track_dirty_pages),
                      Flag("resume_vm", &out->resume_vm),
                      {"network_overrides", false, overrides},
                      {"vsock_override", false, vsock},
                      Flag("clock_realtime", &out->clock_realtime),
                      Choice("huge_pages", &out->huge_pages, {"Snapshot", "None", "Transparent", "2M"})}});
}

bool ReadAction(Reader* in, size_t* action) {
  const auto type = [action](Reader* each) {
    return each->Enum({"FlushMetrics", "InstanceStart", "SendCtrlAltDel"}, action);
  };
  return in->Object({"ActionBody", {{"action_type", true, type}}});
}

bool ReadVmState(Reader* in, size_t* state) {
  const auto read = [state](Reader* each) { return each->Enum({"Paused", "Resumed"}, state); };
  return in->Object({"Vm", {{"state", true, read}}});
}

}  // namespace microvm::fake
