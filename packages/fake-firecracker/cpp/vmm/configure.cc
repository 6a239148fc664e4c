#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "vmm/vmm.h"

namespace microvm::fake {
namespace {

constexpr const char* kNoHotplug = "PCI is not enabled";

// The file of a drive, opened as the device opens it: empty, or what went wrong.
std::string OpenDriveFile(const std::string& path, bool is_read_only, UniqueFd* file) {
  *file = UniqueFd(open(path.c_str(), (is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (*file) return "";
  return "Virtio backend error: Error manipulating the backing file: " + OsError(errno) + " " + path;
}

template <typename T>
bool IsLinkLocal(const T& address) {
  return !address || address->compare(0, 8, "169.254.") == 0;
}

}  // namespace

std::string OpenTap(std::string* name, UniqueFd* tap) {
  constexpr const char* kFailed = "Open tap device failed: ";
  if (name->size() >= IFNAMSIZ) return std::string(kFailed) + "Invalid interface name";
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return kFailed + ("Couldn't open /dev/net/tun: " + OsError(errno));
  ifreq request{};
  memcpy(request.ifr_name, name->data(), name->size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd.Get(), TUNSETIFF, &request) != 0)
    return kFailed + ("Error while creating ifreq structure: " + OsError(errno) +
                      ". Invalid TUN/TAP Backend provided by " + *name +
                      ". Check our documentation on setting up the network devices.");
  *tap = std::move(fd);
  return "";
}

std::string Vmm::CheckMachine(const MachineConfig& config) const {
  const bool vcpus_fit = config.vcpu_count >= 1 && config.vcpu_count <= 32 &&
                         (!config.smt || config.vcpu_count == 1 || config.vcpu_count % 2 == 0);
  if (!vcpus_fit)
    return "Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or "
           "an even number if "
           "SMT is enabled.";
  const bool memory_fits =
      config.mem_size_mib > 0 && (config.huge_pages != "2M" || config.mem_size_mib % 2 == 0);
  if (!memory_fits)
    return "Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured "
           "page size.";
  if (config_.balloon && config_.balloon->amount_mib > config.mem_size_mib)
    return "Machine config error: The memory size (MiB) is smaller than the previously set balloon device "
           "target size.";
  return "";
}

Response Vmm::PutMachineConfig(const MachineConfig& config) {
  boot_specific_ = true;
  if (const std::string problem = CheckMachine(config); !problem.empty()) return Fault(problem);
  config_.machine = config;
  return NoContent();
}

Response Vmm::PatchMachineConfig(const MachineUpdate& update) {
  MachineConfig config = config_.machine;
  if (update.vcpu_count) config.vcpu_count = *update.vcpu_count;
  if (update.mem_size_mib) config.mem_size_mib = *update.mem_size_mib;
  if (update.smt) config.smt = *update.smt;
  if (update.cpu_template) config.cpu_template = update.cpu_template;
  if (update.track_dirty_pages) config.track_dirty_pages = *update.track_dirty_pages;
  if (update.huge_pages) config.huge_pages = *update.huge_pages;
  return PutMachineConfig(config);
}

Response Vmm::PutBootSource(const BootSource& source) {
  boot_specific_ = true;
  UniqueFd kernel(open(source.kernel_image_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!kernel) return Fault("Boot source error: The kernel file cannot be opened: " + OsError(errno));
  UniqueFd initrd;
  if (source.initrd_path) {
    initrd = UniqueFd(open(source.initrd_path->c_str(), O_RDONLY | O_CLOEXEC));
    if (!initrd)
      return Fault(
          "Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions. " +
          OsError(errno));
  }
  constexpr size_t kCommandLineLimit = 2048;
  if (source.boot_args && source.boot_args->size() >= kCommandLineLimit)
    return Fault("Boot source error: The kernel command line is invalid: Invalid cmdline capacity provided.");
  kernel_ = std::move(kernel);
  initrd_ = std::move(initrd);
  config_.boot_source = source;
  return NoContent();
}

Response Vmm::PutDrive(const Drive& drive) {
  if (state_ != State::kNotStarted) return Fault(kNoHotplug);
  boot_specific_ = true;
  const auto same = [&](const Drive& other) { return other.drive_id == drive.drive_id; };
  const auto present = std::find_if(config_.drives.begin(), config_.drives.end(), same);
  const bool root_exists = std::any_of(config_.drives.begin(), config_.drives.end(), [&](const Drive& other) {
    return other.is_root_device && !same(other);
  });
  if (drive.is_root_device && root_exists)
    return Fault("Drive config error: A root block device already exists!");
  constexpr const char* kFailed = "Drive config error: Unable to create the virtio block device: ";
  const bool is_file = drive.path_on_host && !drive.socket;
  const bool is_socket =
      drive.socket && !drive.path_on_host && !drive.is_read_only && !drive.rate_limiter && !drive.io_engine;
  if (!is_file && !is_socket) return Fault(std::string(kFailed) + "Invalid block config.");
  if (is_socket)
    return Fault(std::string(kFailed) +
                 "Vhost user backend error: Vhost-user error: Failed to connect to UDS Unix stream: " +
                 OsError(ENOENT));
  UniqueFd file;
  const std::string problem = OpenDriveFile(*drive.path_on_host, drive.is_read_only.value_or(false), &file);
  if (!problem.empty()) return Fault(kFailed + problem);
  if (present != config_.drives.end()) {
    drive_files_[static_cast<size_t>(present - config_.drives.begin())] = std::move(file);
    *present = drive;
  } else if (drive.is_root_device) {
    config_.drives.insert(config_.drives.begin(), drive);
    drive_files_.insert(drive_files_.begin(), std::move(file));
  } else {
    config_.drives.push_back(drive);
    drive_files_.push_back(std::move(file));
  }
  return NoContent();
}

Response Vmm::PatchDrive(const DriveUpdate& update) {
  metrics_.Add("patch_api_requests.drive_count");
  const auto fail = [this](const std::string& why) {
    metrics_.Add("patch_api_requests.drive_fails");
    return Fault("Drive config error: Unable to patch the block device: " + why +
                 " Please verify the request arguments.");
  };
  for (size_t i = 0; i < config_.drives.size(); i++) {
    Drive& drive = config_.drives[i];
    if (drive.drive_id != update.drive_id) continue;
    if (!update.path_on_host && !update.rate_limiter)
      return fail("Block: Running method expected different backend.");
    if (update.path_on_host) {
      UniqueFd file;
      const std::string problem =
          OpenDriveFile(*update.path_on_host, drive.is_read_only.value_or(false), &file);
      if (!problem.empty()) return fail("Block: " + problem);
      drive_files_[i] = std::move(file);
      drive.path_on_host = update.path_on_host;
      metrics_.Add("block.update_count");
      metrics_.Add("block_" + drive.drive_id + ".update_count");
    }
    if (update.rate_limiter) drive.rate_limiter = update.rate_limiter;
    return NoContent();
  }
  return fail("Failed perform action on device: Device not found");
}

Response Vmm::PutNetworkInterface(const NetworkInterface& nic) {
  if (state_ != State::kNotStarted) return Fault(kNoHotplug);
  boot_specific_ = true;
  for (const NetworkInterface& other : config_.nics) {
    if (other.iface_id != nic.iface_id && nic.guest_mac && other.guest_mac == nic.guest_mac)
      return Fault("Network config error: The MAC address is already in use: " + *nic.guest_mac);
  }
  // The device of this id goes first, so its TAP can be taken again.
  for (size_t i = 0; i < config_.nics.size(); i++) {
    if (config_.nics[i].iface_id != nic.iface_id) continue;
    config_.nics.erase(config_.nics.begin() + static_cast<ptrdiff_t>(i));
    taps_.erase(taps_.begin() + static_cast<ptrdiff_t>(i));
    break;
  }
  constexpr const char* kFailed = "Network config error: Could not create the network device: ";
  if (nic.mtu && *nic.mtu < 68)
    return Fault(kFailed + ("MTU " + std::to_string(*nic.mtu)) + " is out of range [68, 65535]");
  NetworkInterface made = nic;
  UniqueFd tap;
  if (const std::string problem = OpenTap(&made.host_dev_name, &tap); !problem.empty())
    return Fault(kFailed + problem);
  config_.nics.push_back(made);
  taps_.push_back(std::move(tap));
  return NoContent();
}

Response Vmm::PatchNetworkInterface(const NetworkInterface& update) {
  metrics_.Add("patch_api_requests.network_count");
  for (NetworkInterface& nic : config_.nics) {
    if (nic.iface_id != update.iface_id) continue;
    if (update.rx_rate_limiter) nic.rx_rate_limiter = update.rx_rate_limiter;
    if (update.tx_rate_limiter) nic.tx_rate_limiter = update.tx_rate_limiter;
    return NoContent();
  }
  metrics_.Add("patch_api_requests.network_fails");
  return Fault(
      "Network config error: Unable to update the net device: Failed perform action on device: Device not "
      "found");
}

Response Vmm::PutVsock(const Vsock& vsock) {
  boot_specific_ = true;
  constexpr const char* kFailed = "Vsock config error: Cannot create backend for vsock device: ";
  const int unbound = vsock_ ? vsock_->Unbind() : 0;
  vsock_.reset();
  config_.vsock.reset();
  // The older device's socket must still be there to be removed.
  if (unbound != 0)
    return Fault(kFailed + ("Error binding to the host-side Unix socket: " + OsError(unbound)));
  auto device = std::make_unique<VsockDevice>(loop_);
  if (const std::string problem = device->Bind(vsock.uds_path); !problem.empty())
    return Fault(kFailed + problem);
  vsock_ = std::move(device);
  config_.vsock = vsock;
  return NoContent();
}

Response Vmm::PutBalloon(const Balloon& balloon) {
  boot_specific_ = true;
  if (balloon.amount_mib > config_.machine.mem_size_mib)
    return Fault("Balloon config error: Amount of pages requested is too large.");
  config_.balloon = balloon;
  return NoContent();
}

Response Vmm::PatchBalloon(std::optional<uint64_t> amount, std::optional<uint64_t> interval) {
  constexpr const char* kFailed = "Balloon update error: ";
  if (!config_.balloon)
    return Fault(std::string(kFailed) + "Failed perform action on device: Device not found");
  if (amount && (!guest_ || !guest_->is_up()))
    return Fault(std::string(kFailed) + "Balloon: Device not activated yet.");
  if (amount && *amount > config_.machine.mem_size_mib)
    return Fault(std::string(kFailed) + "Balloon: Amount of pages requested is too large.");
  if (interval && (*interval == 0) != (config_.balloon->stats_polling_interval_s == 0))
    return Fault(std::string(kFailed) + "Balloon: Statistics cannot be enabled/disabled after activation.");
  if (amount) config_.balloon->amount_mib = *amount;
  if (interval) config_.balloon->stats_polling_interval_s = *interval;
  return NoContent();
}

Response Vmm::PutMmds(const Value& data, bool is_patch) {
  if (is_patch) metrics_.Add("patch_api_requests.mmds_count");
  if (state_ != State::kNotStarted && !config_.mmds)
    return Fault("MMDS error: The MMDS data store is not initialized.");
  if (is_patch && !has_mmds_) return Fault("MMDS error: The MMDS data store is not initialized.");
  if (is_patch) {
    MergePatch(&mmds_, data);
  } else {
    mmds_ = data;
  }
  SortKeys(&mmds_);
  has_mmds_ = true;
  return NoContent();
}

Response Vmm::PutMmdsConfig(const MmdsConfig& config) {
  constexpr const char* kFailed = "MMMDS config error: ";
  boot_specific_ = true;
  if (config.network_interfaces.empty())
    return Fault(std::string(kFailed) +
                 "The list of network interface IDs that allow forwarding MMDS requests is empty.");
  for (const std::string& id : config.network_interfaces) {
    const bool exists = std::any_of(config_.nics.begin(), config_.nics.end(),
                                    [&](const NetworkInterface& nic) { return nic.iface_id == id; });
    if (!exists)
      return Fault(std::string(kFailed) +
                   "The list of network interface IDs provided contains at least one ID that does not "
                   "correspond to any "
                   "existing network interface.");
  }
  if (!IsLinkLocal(config.ipv4_address))
    return Fault(std::string(kFailed) + "The MMDS IPv4 address is not link local.");
  config_.mmds = config;
  return NoContent();
}

Response Vmm::PutPmem(const Pmem& pmem) {
  if (state_ != State::kNotStarted) return Fault(kNoHotplug);
  boot_specific_ = true;
  const bool root_exists = std::any_of(config_.drives.begin(), config_.drives.end(),
                                       [](const Drive& drive) { return drive.is_root_device; });
  if (pmem.root_device && root_exists)
    return Fault(
        "Pmem config error: Attempt to add pmem as a root device while the root device defined as a block "
        "device");
  for (Pmem& other : config_.pmem) {
    if (other.id != pmem.id) continue;
    other = pmem;
    return NoContent();
  }
  config_.pmem.push_back(pmem);
  return NoContent();
}

Response Vmm::PutMemoryHotplug(const MemoryHotplug& config) {
  constexpr const char* kFailed = "Memory hotplug config error: ";
  boot_specific_ = true;
  const bool is_power =
      config.block_size_mib != 0 && (config.block_size_mib & (config.block_size_mib - 1)) == 0;
  if (config.block_size_mib < 2)
    return Fault(std::string(kFailed) + "Block size must not be lower than 2 MiB");
  if (!is_power) return Fault(std::string(kFailed) + "Block size must be a power of 2");
  if (config.slot_size_mib < 128)
    return Fault(std::string(kFailed) + "Slot size must not be lower than 128 MiB");
  if (config.total_size_mib % config.slot_size_mib != 0)
    return Fault(kFailed +
                 ("Total size must be a multiple of slot size (" + std::to_string(config.slot_size_mib)) +
                 " MiB)");
  config_.memory_hotplug = config;
  return NoContent();
}

Response Vmm::PutLogger(const LoggerConfig& config) {
  if (const int error = log_->Configure(config); error != 0)
    return Fault("Logger error: Failed to open target file: " + OsError(error));
  return NoContent();
}

Response Vmm::PutMetrics(const std::string& path) {
  constexpr const char* kFailed =
      "Metrics error: Cannot initialize the metrics system due to bad user input: ";
  if (metrics_.is_configured())
    return Fault(std::string(kFailed) + "Reinitialization of metrics not allowed.");
  if (const int error = metrics_.Open(path); error != 0) return Fault(kFailed + OsError(error));
  return NoContent();
}

Response Vmm::PutSerial(const SerialConfig& config) {
  serial_ = config;
  return NoContent();
}

}  // namespace microvm::fake
