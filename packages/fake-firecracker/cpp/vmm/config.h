#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/serde.h"
#include "json/value.h"

namespace microvm::fake {

// What the API configures, with the fields, the defaults and the spelling of the answers of the real one.
// Each `Read…` fills one from a request's body; each `…Json` is what GET answers.

struct TokenBucket {
  uint64_t size = 0;
  std::optional<uint64_t> one_time_burst;
  uint64_t refill_time = 0;
};

struct RateLimiter {
  std::optional<TokenBucket> bandwidth;
  std::optional<TokenBucket> ops;
};

struct MachineConfig {
  uint64_t vcpu_count = 1;
  uint64_t mem_size_mib = 128;
  bool smt = false;
  std::optional<std::string> cpu_template;
  bool track_dirty_pages = false;
  std::string huge_pages = "None";
};

// Of a PATCH: only what is given.
struct MachineUpdate {
  std::optional<uint64_t> vcpu_count;
  std::optional<uint64_t> mem_size_mib;
  std::optional<bool> smt;
  std::optional<std::string> cpu_template;
  std::optional<bool> track_dirty_pages;
  std::optional<std::string> huge_pages;
};

struct BootSource {
  std::string kernel_image_path;
  std::optional<std::string> initrd_path;
  std::optional<std::string> boot_args;
};

struct Drive {
  std::string drive_id;
  std::optional<std::string> partuuid;
  bool is_root_device = false;
  std::string cache_type = "Unsafe";
  std::optional<bool> is_read_only;
  std::optional<std::string> path_on_host;
  std::optional<RateLimiter> rate_limiter;
  std::optional<std::string> io_engine;
  std::optional<std::string> socket;
};

struct DriveUpdate {
  std::string drive_id;
  std::optional<std::string> path_on_host;
  std::optional<RateLimiter> rate_limiter;
};

struct NetworkInterface {
  std::string iface_id;
  std::string host_dev_name;
  std::optional<std::string> guest_mac;
  std::optional<uint64_t> mtu;
  std::optional<RateLimiter> rx_rate_limiter;
  std::optional<RateLimiter> tx_rate_limiter;
};

struct Vsock {
  uint64_t guest_cid = 0;
  std::string uds_path;
};

struct Balloon {
  uint64_t amount_mib = 0;
  bool deflate_on_oom = false;
  uint64_t stats_polling_interval_s = 0;
  bool free_page_hinting = false;
  bool free_page_reporting = false;
};

struct MmdsConfig {
  std::string version = "V1";
  std::vector<std::string> network_interfaces;
  std::optional<std::string> ipv4_address;
  bool imds_compat = false;
};

struct Pmem {
  std::string id;
  std::string path_on_host;
  bool root_device = false;
  bool read_only = false;
  std::optional<RateLimiter> rate_limiter;
};

struct MemoryHotplug {
  uint64_t total_size_mib = 0;
  uint64_t block_size_mib = 2;
  uint64_t slot_size_mib = 128;
};

struct Entropy {
  std::optional<RateLimiter> rate_limiter;
};

struct VmConfig {
  MachineConfig machine;
  std::optional<BootSource> boot_source;
  std::vector<Drive> drives;
  std::vector<NetworkInterface> nics;
  std::optional<Vsock> vsock;
  std::optional<Balloon> balloon;
  std::optional<MmdsConfig> mmds;
  std::optional<Entropy> entropy;
  std::vector<Pmem> pmem;
  std::optional<MemoryHotplug> memory_hotplug;
};

struct LoggerConfig {
  std::optional<std::string> log_path;
  std::optional<std::string> level;
  std::optional<bool> show_level;
  std::optional<bool> show_log_origin;
  std::optional<std::string> module;
};

struct SerialConfig {
  std::optional<std::string> serial_out_path;
  std::optional<TokenBucket> rate_limiter;
};

struct SnapshotCreate {
  bool is_diff = false;
  std::string snapshot_path;
  std::string mem_file_path;
  bool syncs_files = true;
};

struct SnapshotLoad {
  std::string snapshot_path;
  std::optional<std::string> mem_file_path;
  std::optional<std::string> backend_type;
  std::string backend_path;
  bool enable_diff_snapshots = false;
  bool track_dirty_pages = false;
  bool resume_vm = false;
  std::vector<NetworkInterface> network_overrides;  // id and device only
  std::optional<std::string> vsock_override;
  bool clock_realtime = false;
  std::string huge_pages = "Snapshot";
};

bool ReadMachineConfig(Reader* in, MachineConfig* out);
bool ReadMachineUpdate(Reader* in, MachineUpdate* out);
bool ReadBootSource(Reader* in, BootSource* out);
bool ReadDrive(Reader* in, Drive* out);
bool ReadDriveUpdate(Reader* in, DriveUpdate* out);
bool ReadNetworkInterface(Reader* in, NetworkInterface* out);
bool ReadNetworkUpdate(Reader* in, NetworkInterface* out);
bool ReadVsock(Reader* in, Vsock* out);
bool ReadBalloon(Reader* in, Balloon* out);
bool ReadOneNumber(Reader* in, const char* struct_name, const char* field, uint64_t max, uint64_t* out);
bool ReadMmdsConfig(Reader* in, MmdsConfig* out);
bool ReadEntropy(Reader* in, Entropy* out);
bool ReadPmem(Reader* in, Pmem* out);
bool ReadPmemUpdate(Reader* in, Pmem* out);
bool ReadMemoryHotplug(Reader* in, MemoryHotplug* out);
bool ReadLogger(Reader* in, LoggerConfig* out);
bool ReadSerial(Reader* in, SerialConfig* out);
bool ReadMetrics(Reader* in, std::string* path);
bool ReadCpuConfig(Reader* in);
bool ReadSnapshotCreate(Reader* in, SnapshotCreate* out);
bool ReadSnapshotLoad(Reader* in, SnapshotLoad* out);
// The place of the given name among the choices.
bool ReadAction(Reader* in, size_t* action);  // FlushMetrics, InstanceStart, SendCtrlAltDel
bool ReadVmState(Reader* in, size_t* state);  // Paused, Resumed

Value MachineJson(const MachineConfig& config);
Value BalloonJson(const Balloon& config);
Value VmConfigJson(const VmConfig& config);
// The inverse, for snapshots.
bool ReadVmConfig(Reader* in, VmConfig* out);

}  // namespace microvm::fake
