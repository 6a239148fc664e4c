#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/request_parser.h"
#include "process/loop.h"
#include "vmm/config.h"
#include "vmm/faults.h"
#include "vmm/guest.h"
#include "vmm/logger.h"
#include "vmm/metrics.h"
#include "vmm/snapshot_files.h"
#include "vmm/vsock_device.h"

namespace microvm::fake {

struct Response {
  int status = 204;
  std::optional<std::string> body;
  std::optional<int> exit_code;  // the VMM ends after the answer
};

// The VM: its configuration, its state, its devices. What a request does, in the order and with the words of
// Firecracker.
class Vmm {
 public:
  Vmm(std::string id, Loop* loop, Logger* log, Faults* faults);
  ~Vmm();

  Response Handle(const Request& request);

  // The guest that a jailer prepared; without one it is made at the boot.
  void UseShell(Shell shell) { shell_ = std::move(shell); }
  // 0 or an errno; of the command line.
  int OpenMetrics(const std::string& path) { return metrics_.Open(path); }
  bool HasMetrics() const { return metrics_.is_configured(); }
  void FlushMetrics();
  void OnChildEnd(int status);
  [[noreturn]] void Exit(int code);

 private:
  enum class State { kNotStarted, kRunning, kPaused };

  // vmm.cc: which request is meant.
  Response Route(const Request& request);
  Response Get(const std::vector<std::string>& path);
  Response Put(const std::vector<std::string>& path, const std::string& body);
  Response Patch(const std::vector<std::string>& path, const std::string& body);

  // configure.cc: before the boot, and the few things that can be changed after it.
  Response PutMachineConfig(const MachineConfig& config);
  Response PatchMachineConfig(const MachineUpdate& update);
  std::string CheckMachine(const MachineConfig& config) const;
  Response PutBootSource(const BootSource& source);
  Response PutDrive(const Drive& drive);
  Response PatchDrive(const DriveUpdate& update);
  Response PutNetworkInterface(const NetworkInterface& nic);
  Response PatchNetworkInterface(const NetworkInterface& update);
  Response PutVsock(const Vsock& vsock);
  Response PutBalloon(const Balloon& balloon);
  Response PatchBalloon(std::optional<uint64_t> amount, std::optional<uint64_t> interval);
  Response PutMmds(const Value& data, bool is_patch);
  Response PutMmdsConfig(const MmdsConfig& config);
  Response PutPmem(const Pmem& pmem);
  Response PutMemoryHotplug(const MemoryHotplug& config);
  Response PutLogger(const LoggerConfig& config);
  Response PutMetrics(const std::string& path);
  Response PutSerial(const SerialConfig& config);

  // lifecycle.cc: what the VM does.
  Response Start();
  Response SetPaused(bool paused);
  Response CreateSnapshot(const SnapshotCreate& request);
  Response LoadSnapshot(const SnapshotLoad& request);
  std::string Restore(const SnapshotLoad& request, SnapshotState* state);
  std::string RestoreDevices(const SnapshotLoad& request);
  std::string LoadMemory(const SnapshotLoad& request);
  Response CtrlAltDel();
  void BootGuest(const BootMessage& boot, int archive_fd);
  void RunRestored();
  std::string OpenSerial();
  void OnGuestUp();
  void OnGuestEnd(Guest::End end, const std::string& reason);
  void GuestPanic(const std::string& reason);
  void Console(std::string_view text);
  void KernelSays(const std::string& line);
  bool HasArgument(const std::string& word) const;

  Response BeforeBoot(const std::function<Response()>& act);
  Response AfterBoot(const std::function<Response()>& act);

  std::string id_;
  Loop* loop_;
  Logger* log_;
  Faults* faults_;
  Metrics metrics_;
  State state_ = State::kNotStarted;
  VmConfig config_;
  bool boot_specific_ = false;  // something was configured that a snapshot brings along
  SerialConfig serial_;
  Value mmds_;
  bool has_mmds_ = false;

  UniqueFd kernel_;
  UniqueFd initrd_;
  std::vector<UniqueFd> drive_files_;
  std::vector<UniqueFd> taps_;
  std::unique_ptr<VsockDevice> vsock_;
  UniqueFd serial_file_;
  bool console_is_on_ = false;

  Shell shell_;
  std::unique_ptr<Guest> guest_;
  std::string command_line_;
  // Of a VM that was restored and has not run yet: its guest, still in the memory file.
  UniqueFd memory_file_;
  std::optional<SnapshotState> restored_;
  GuestMemory memory_;
  UniqueFd metrics_timer_;
  UniqueFd panic_timer_;
};

Response NoContent();
Response Json(const Value& value);
Response Fault(const std::string& message);
Response NotBeforeBoot();
Response NotAfterBoot();

// Opens a TAP as the network device does: empty, or what went wrong.
std::string OpenTap(std::string* name, UniqueFd* tap);

}  // namespace microvm::fake
