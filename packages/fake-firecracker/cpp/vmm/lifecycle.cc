#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "vmm/kernel_image.h"
#include "vmm/vmm.h"

namespace microvm::fake {
namespace {

constexpr const char* kVmmThread = "main";
constexpr uint64_t kMib = 1 << 20;
constexpr time_t kMetricsSeconds = 60;
// What the real one boots with when nothing is asked for.
constexpr const char* kDefaultArguments =
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce";
// Whom the guest of a VMM that runs as root belongs to.
constexpr uid_t kNobody = 65534;

UniqueFd Timer(time_t seconds, bool repeats) {
  UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  itimerspec when{};
  when.it_value.tv_sec = seconds;
  if (repeats) when.it_interval.tv_sec = seconds;
  timerfd_settime(timer.Get(), 0, &when, nullptr);
  return timer;
}

std::string RandomId() {
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) abort();
  std::string id;
  char digits[3];
  for (const unsigned char byte : bytes) {
    snprintf(digits, sizeof(digits), "%02x", byte);
    id += digits;
  }
  return id;
}

}  // namespace

Vmm::Vmm(std::string id, Loop* loop, Logger* log, Faults* faults)
    : id_(std::move(id)), loop_(loop), log_(log), faults_(faults) {}

Vmm::~Vmm() = default;

void Vmm::Exit(int code) {
  if (guest_) guest_->DrainConsole();
  if (HasMetrics()) FlushMetrics();
  if (code == 0) {
    log_->Info(kVmmThread, "Killing vCPU threads");
    log_->Info(kVmmThread, "Firecracker exiting successfully. exit_code=0");
  } else {
    log_->Error(kVmmThread, "Firecracker exiting with error. exit_code=" + std::to_string(code));
  }
  // Without the destructors: what is open goes with the process, and sockets' files stay, as those of the
  // real one do.
  _exit(code);
}

void Vmm::FlushMetrics() {
  if (!HasMetrics()) return;
  if (vsock_) {
    const VsockDevice::Counters counters = vsock_->TakeCounters();
    metrics_.Add("vsock.rx_bytes_count", counters.rx_bytes);
    metrics_.Add("vsock.tx_bytes_count", counters.tx_bytes);
    metrics_.Add("vsock.conns_added", counters.added);
    metrics_.Add("vsock.conns_removed", counters.removed);
  }
  std::vector<std::string> drives;
  std::vector<std::string> nics;
  for (const Drive& drive : config_.drives) drives.push_back(drive.drive_id);
  for (const NetworkInterface& nic : config_.nics) nics.push_back(nic.iface_id);
  metrics_.Flush(drives, nics);
}

void Vmm::OnChildEnd(int status) {
  if (guest_) guest_->OnChildEnd(status);
}

bool Vmm::HasArgument(const std::string& word) const {
  return (" " + command_line_ + " ").find(" " + word + " ") != std::string::npos;
}

Response Vmm::Start() {
  constexpr const char* kFailed = "Start microvm error: ";
  if (!config_.boot_source)
    return Fault(std::string(kFailed) + "Cannot start microvm without kernel configuration.");
  if (const std::string problem = CheckKernelImage(kernel_.Get()); !problem.empty())
    return Fault(
        kFailed +
        ("System configuration error: Cannot load kernel due to invalid memory configuration or invalid "
         "kernel image: " +
         problem));
  struct stat initrd {};
  if (initrd_ && fstat(initrd_.Get(), &initrd) != 0) return Fault(kFailed + OsError(errno));
  if (const std::string problem = OpenSerial(); !problem.empty()) return Fault(kFailed + problem);
  BootMessage boot;
  boot.memory_bytes = config_.machine.mem_size_mib * kMib;
  boot.archive_size = initrd_ ? static_cast<uint64_t>(initrd.st_size) : 0;
  for (const Drive& drive : config_.drives) boot.has_root_drive = boot.has_root_drive || drive.is_root_device;
  command_line_ = config_.boot_source->boot_args.value_or(kDefaultArguments);
  state_ = State::kRunning;
  console_is_on_ = HasArgument("console=ttyS0") && !HasArgument("8250.nr_uarts=0");
  utsname system{};
  uname(&system);
  if (!HasArgument("quiet")) {
    KernelSays(std::string("[    0.000000] Linux version ") + system.release + " (fake-firecracker) #1 SMP");
    KernelSays("[    0.000000] Command line: " + command_line_);
    KernelSays("[    0.100000] Run /init as init process");
  }
  if (metrics_.is_configured()) {
    metrics_timer_ = Timer(kMetricsSeconds, true);
    loop_->Add(metrics_timer_.Get(), EPOLLIN, [this](uint32_t) {
      uint64_t times = 0;
      if (read(metrics_timer_.Get(), &times, sizeof(times)) > 0) FlushMetrics();
    });
  }
  BootGuest(boot, initrd_.Get());
  kernel_.Reset();
  initrd_.Reset();
  return NoContent();
}

std::string Vmm::OpenSerial() {
  if (!serial_.serial_out_path) return "";
  serial_file_ =
      UniqueFd(open(serial_.serial_out_path->c_str(), O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644));
  return serial_file_ ? "" : "Could not open serial output file: " + OsError(errno);
}

void Vmm::BootGuest(const BootMessage& message, int archive_fd) {
  if (!shell_.valid() && SpawnShell({kNobody, kNobody, -1}, &shell_) != 0)
    return GuestPanic("no namespaces for the guest");
  Guest::Events events;
  events.up = [this] { OnGuestUp(); };
  events.end = [this](Guest::End end, const std::string& reason) { OnGuestEnd(end, reason); };
  events.console = [this](std::string_view text) { Console(text); };
  guest_ = std::make_unique<Guest>(loop_, std::move(shell_), std::move(events));
  BootMessage boot = message;
  strncpy(boot.command_line, command_line_.c_str(), sizeof(boot.command_line) - 1);
  if (const int error = guest_->Boot(boot, archive_fd); error != 0)
    GuestPanic("boot of the guest: " + OsError(error));
}

void Vmm::OnGuestUp() {
  if (const auto fault = faults_->Next("guest-up"); fault) {
    if (fault->act == "signal") raise(static_cast<int>(fault->signal));
    if (fault->act == "exit") _exit(static_cast<int>(fault->code));
    if (fault->act == "panic") return GuestPanic(fault->message);
    if (fault->act == "silent-agent") return;
    if (fault->act == "console-flood") Console(std::string(fault->bytes, 'x') + "\n");
  }
  if (!vsock_) return;
  vsock_->Activate(guest_.get());
  // A guest that was restored had called at its boot, and does not again.
  if (!restored_) vsock_->DialOut(kAgentPort);
}

void Vmm::OnGuestEnd(Guest::End end, const std::string& reason) {
  switch (end) {
    case Guest::End::kReset:
      KernelSays("[    1.000000] reboot: Restarting system");
      Exit(0);
    case Guest::End::kPowerOff:
      // There is no power-off device: the CPU halts, and the VMM lives on.
      KernelSays("[    1.000000] reboot: System halted");
      return;
    case Guest::End::kPanic:
      GuestPanic(reason);
      return;
  }
}

// `panic=N`: after so many seconds, at once when negative, never when 0 or not given.
void Vmm::GuestPanic(const std::string& reason) {
  KernelSays("[    1.000000] Kernel panic - not syncing: " + reason);
  long seconds = 0;
  if (const size_t at = (" " + command_line_).find(" panic="); at != std::string::npos)
    seconds = strtol(command_line_.c_str() + at + 6, nullptr, 10);
  if (seconds == 0) {
    KernelSays("[    1.000000] ---[ end Kernel panic - not syncing: " + reason + " ]---");
    return;
  }
  if (seconds < 0) {
    KernelSays("[    1.000000] Rebooting in 0 seconds..");
    Exit(0);
  }
  KernelSays("[    1.000000] Rebooting in " + std::to_string(seconds) + " seconds..");
  panic_timer_ = Timer(seconds, false);
  loop_->Add(panic_timer_.Get(), EPOLLIN, [this](uint32_t) { Exit(0); });
}

void Vmm::KernelSays(const std::string& line) { Console(line + "\n"); }

void Vmm::Console(std::string_view text) {
  if (!console_is_on_) return;
  std::string bytes;
  for (const char byte : text) {
    if (byte == '\n') bytes += '\r';
    bytes += byte;
  }
  // As the real one: what the reader does not take is lost, and the guest does not wait.
  const int fd = serial_file_ ? serial_file_.Get() : STDOUT_FILENO;
  if (WriteAll(fd, bytes) != 0) metrics_.Add("uart.missed_write_count");
  metrics_.Add("uart.write_count", bytes.size());
}

Response Vmm::SetPaused(bool paused) {
  const bool changes = (state_ == State::kPaused) != paused;
  if (!changes) return NoContent();
  if (paused) {
    if (guest_) guest_->Pause();
    if (vsock_) vsock_->Pause();
    state_ = State::kPaused;
    return NoContent();
  }
  state_ = State::kRunning;
  if (vsock_) vsock_->Resume();
  if (guest_) {
    guest_->Resume();
  } else {
    RunRestored();
  }
  return NoContent();
}

Response Vmm::CtrlAltDel() {
  if (guest_ && !HasArgument("i8042.nokbd")) guest_->CtrlAltDel();
  return NoContent();
}

Response Vmm::CreateSnapshot(const SnapshotCreate& request) {
  constexpr const char* kFailed = "Create snapshot error: ";
  if (state_ != State::kPaused)
    return Fault(
        std::string(kFailed) +
        "Cannot save the microVM state: Operation not allowed: save/restore unavailable while running");
  SnapshotState state;
  state.config = config_;
  state.memory_id = RandomId();
  state.command_line = command_line_;
  if (guest_) {
    state.life = guest_->life();
    state.has_guest = !guest_->ended();
  } else if (restored_) {
    state.life = restored_->life;
    state.has_guest = restored_->has_guest;
  }
  if (const std::string problem = WriteState(request.snapshot_path, state); !problem.empty())
    return Fault(kFailed + problem);
  MemoryPlan plan;
  plan.path = request.mem_file_path;
  plan.id = state.memory_id;
  plan.size = config_.machine.mem_size_mib * kMib;
  plan.is_diff = request.is_diff;
  plan.has_holes = request.is_diff && config_.machine.track_dirty_pages;
  if (guest_) {
    plan.root = guest_->root();
  } else {
    plan.source = memory_file_.Get();
    plan.source_memory = memory_;
  }
  const auto fault = faults_->Next("dump");
  plan.fails_full = fault && fault->act == "disk-full";
  if (fault && fault->act == "delay") usleep(static_cast<useconds_t>(fault->ms * 1000));
  if (fault && fault->act == "exit") _exit(static_cast<int>(fault->code));
  if (fault && fault->act == "signal") raise(static_cast<int>(fault->signal));
  if (const std::string problem = WriteMemory(plan); !problem.empty()) return Fault(kFailed + problem);
  if (vsock_) vsock_->ResetConnections();
  return NoContent();
}

Response Vmm::LoadSnapshot(const SnapshotLoad& request) {
  constexpr const char* kFailed = "Load snapshot error: ";
  if (boot_specific_)
    return Fault(std::string(kFailed) +
                 "Loading a microVM snapshot not allowed after configuring boot-specific resources.");
  SnapshotState state;
  if (const std::string problem = Restore(request, &state); !problem.empty()) {
    Response response = Fault(std::string(kFailed) + "Failed to restore from snapshot: " + problem);
    response.exit_code = 1;
    return response;
  }
  restored_ = std::move(state);
  command_line_ = restored_->command_line;
  console_is_on_ = HasArgument("console=ttyS0");
  state_ = State::kPaused;
  if (vsock_) vsock_->Pause();
  if (request.resume_vm) SetPaused(false);
  return NoContent();
}

std::string Vmm::Restore(const SnapshotLoad& request, SnapshotState* state) {
  constexpr const char* kState = "Failed to get snapshot state from file: ";
  if (const std::string problem = ReadState(request.snapshot_path, state); !problem.empty())
    return kState + problem;
  VmConfig config = state->config;
  for (const NetworkInterface& other : request.network_overrides) {
    bool known = false;
    for (NetworkInterface& nic : config.nics) {
      if (nic.iface_id != other.iface_id) continue;
      nic.host_dev_name = other.host_dev_name;
      known = true;
    }
    if (!known) return std::string(kState) + "Unknown Network Device.";
  }
  if (request.vsock_override && config.vsock) config.vsock->uds_path = *request.vsock_override;
  config.machine.track_dirty_pages = request.track_dirty_pages || request.enable_diff_snapshots;
  if (request.huge_pages != "Snapshot") config.machine.huge_pages = request.huge_pages;
  config_ = std::move(config);
  if (const std::string problem = LoadMemory(request); !problem.empty())
    return "Failed to load guest memory: " + problem;
  const std::string problem = RestoreDevices(request);
  if (problem.empty()) return OpenSerial();
  return "Failed to build microVM from snapshot: Failed to restore devices: Error restoring MMIO devices: " +
         problem;
}

std::string Vmm::LoadMemory(const SnapshotLoad& request) {
  if (request.backend_type == "Uffd")
    return "Error creating guest memory from uffd: Failed to connect to UDS Unix stream: " + OsError(ENOENT);
  const std::string path = request.backend_type ? request.backend_path : *request.mem_file_path;
  constexpr const char* kFailed = "Error creating guest memory from file: ";
  if (config_.machine.huge_pages == "2M")
    return std::string(kFailed) +
           "Cannot restore hugetlbfs backed snapshot by mapping the memory file. Please use uffd.";
  memory_file_ = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!memory_file_) return kFailed + ("Failed to load guest memory: " + OsError(errno));
  struct stat info {};
  fstat(memory_file_.Get(), &info);
  if (!S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) < config_.machine.mem_size_mib * kMib)
    return std::string(kFailed) +
           "Failed to restore guest memory: Total sum of memory regions exceeds largest possible file offset";
  memory_ = InspectMemory(memory_file_.Get());
  return "";
}

std::string Vmm::RestoreDevices(const SnapshotLoad&) {
  for (const Drive& drive : config_.drives) {
    const bool is_read_only = drive.is_read_only.value_or(false);
    drive_files_.emplace_back(
        open(drive.path_on_host->c_str(), (is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!drive_files_.back())
      return "Block: Virtio backend error: Error manipulating the backing file: " + OsError(errno) + " " +
             *drive.path_on_host;
  }
  for (NetworkInterface& nic : config_.nics) {
    taps_.emplace_back();
    if (const std::string problem = OpenTap(&nic.host_dev_name, &taps_.back()); !problem.empty())
      return "Net: Failed to create a network device: " + problem;
  }
  if (config_.mmds) {
    mmds_ = Value::Object();
    has_mmds_ = true;
  }
  if (!config_.vsock) return "";
  vsock_ = std::make_unique<VsockDevice>(loop_);
  const std::string problem = vsock_->Bind(config_.vsock->uds_path);
  return problem.empty() ? "" : "VsockUnixBackend: " + problem;
}

// The guest goes on from the memory file. Another memory than the one that the state belongs to is garbage to
// it.
void Vmm::RunRestored() {
  if (!restored_ || !restored_->has_guest) return;
  if (memory_.id != restored_->memory_id || !memory_.is_whole)
    return GuestPanic("the memory is not the one of this state");
  BootMessage boot;
  boot.is_restore = true;
  boot.life = restored_->life;
  boot.memory_bytes = config_.machine.mem_size_mib * kMib;
  boot.archive_offset = memory_.archive_offset;
  boot.archive_size = memory_.archive_size;
  BootGuest(boot, memory_file_.Get());
}

}  // namespace microvm::fake
