#include "guest/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "agent.h"
#include "guest/archive.h"
#include "guest/control.h"
#include "guest/root.h"
#include "kernel_options.h"
#include "proc_file.h"
#include "process_signal.h"
#include "spawn.h"

namespace microvm::fake {
namespace {

constexpr const char* kSecretsFolder = "/run/secrets";

// The signal handler's view; the guest is one thread, and the agent is made once.
int control_line = -1;
int sysrq_line = -1;
agent::Agent* the_agent = nullptr;

// The kernel is gone: nothing runs any more, and only the VMM can end this.
[[noreturn]] void StandStill() {
  agent::SignalNamespace(SIGSTOP);
  for (;;) {
    Signal signal;
    if (!Receive(control_line, &signal, nullptr, nullptr)) _exit(0);
    if (signal == Signal::kPause) Send(control_line, Signal::kPaused, BytesOf(LifeMessage{}));
    if (signal == Signal::kResume) Send(control_line, Signal::kResumed);
  }
}

[[noreturn]] void Panic(const std::string& reason) {
  Send(control_line, Signal::kPanic, reason);
  StandStill();
}

// In the handler the agent stands still, and so does everything that it started.
void Pause() {
  agent::SignalNamespace(SIGSTOP);
  const LifeMessage life{the_agent->epoch(), the_agent->frozen()};
  Send(control_line, Signal::kPaused, BytesOf(life));
  for (;;) {
    Signal signal;
    if (!Receive(control_line, &signal, nullptr, nullptr)) _exit(0);
    if (signal == Signal::kResume) break;
    if (signal == Signal::kCtrlAltDel) kill(getpid(), SIGINT);  // taken when the agent goes on
  }
  if (!the_agent->frozen()) agent::SignalNamespace(SIGCONT);
  Send(control_line, Signal::kResumed);
}

void OnControl() {
  for (;;) {
    char first;
    if (recv(control_line, &first, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    Signal signal;
    if (!Receive(control_line, &signal, nullptr, nullptr)) _exit(0);
    if (signal == Signal::kPause) Pause();
    if (signal == Signal::kCtrlAltDel) kill(getpid(), SIGINT);
  }
}

void OnSysrq() {
  char command = 0;
  while (read(sysrq_line, &command, 1) == 1) {
    if (command == 'c') Panic("sysrq triggered crash");
    if (command == 'b') reboot(RB_AUTOBOOT);
    if (command == 'o') reboot(RB_POWER_OFF);
  }
}

void OnWires(int) {
  const int error = errno;
  OnControl();
  if (sysrq_line >= 0) OnSysrq();
  errno = error;
}

void Listen(int fd) {
  fcntl(fd, F_SETOWN, getpid());
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
}

void UseDescriptors(const MachineOptions& options) {
  const int control = fcntl(options.control, F_DUPFD_CLOEXEC, 64);
  const int listener = fcntl(options.listener, F_DUPFD_CLOEXEC, 64);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, 0);
  dup2(options.console, 1);
  dup2(options.console, 2);
  dup3(control, 3, O_CLOEXEC);
  dup3(listener, 4, O_CLOEXEC);
  syscall(SYS_close_range, 5u, UINT_MAX, 0u);
  control_line = 3;
}

bool MapIds(const MachineOptions& options) {
  const auto map = [](unsigned id) { return "0 " + std::to_string(id) + " 1"; };
  return agent::WriteSmallFile("/proc/self/setgroups", "deny") == 0 &&
         agent::WriteSmallFile("/proc/self/uid_map", map(options.uid)) == 0 &&
         agent::WriteSmallFile("/proc/self/gid_map", map(options.gid)) == 0;
}

void SetEnvironment() {
  clearenv();
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("HOME", "/root", 1);
  setenv("TERM", "linux", 1);
}

// The files that the guest begins with, out of what the VMM passed on.
std::string_view Archive(const BootMessage& boot, const UniqueFd& file) {
  if (!file || boot.archive_size == 0) return {};
  const auto offset = static_cast<off_t>(boot.archive_offset);
  void* bytes = mmap(nullptr, boot.archive_size, PROT_READ, MAP_PRIVATE, file.Get(), offset);
  if (bytes == MAP_FAILED) Panic(std::string("mapping the files of the guest: ") + strerror(errno));
  return {static_cast<const char*>(bytes), boot.archive_size};
}

void MakeRoot(const BootMessage& boot, const UniqueFd& file) {
  const std::string_view archive = Archive(boot, file);
  if (!boot.is_restore && archive.empty() && !boot.has_root_drive)
    Panic("VFS: Unable to mount root fs on unknown-block(0,0)");
  if (!boot.is_restore && !archive.empty() && !HasProgram(archive, "init")) {
    agent::Log("Initramfs unpacking failed: no cpio archive with an /init");
    if (!boot.has_root_drive) Panic("VFS: Unable to mount root fs on unknown-block(0,0)");
  }
  if (const std::string problem = MountRoot(archive, boot, &sysrq_line); !problem.empty()) Panic(problem);
  if (!archive.empty()) munmap(const_cast<char*>(archive.data()), archive.size());
}

// Those of a snapshot were unpacked as plain files. The agent, whose memory a snapshot does not have here,
// takes them as if they were given to it, and its file system covers the folder.
void TakeSecrets(agent::SecretStore* secrets) {
  secrets->UseFolder(kSecretsFolder);
  std::map<std::string, std::string> values;
  if (const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(kSecretsFolder), closedir); entries) {
    while (const dirent* entry = readdir(entries.get())) {
      const std::string path = std::string(kSecretsFolder) + "/" + entry->d_name;
      if (!agent::IsSecretName(entry->d_name)) continue;
      values[entry->d_name] = agent::ReadSmallFile(path.c_str());
      unlink(path.c_str());
    }
  }
  agent::SecretsRequest request;
  for (const auto& [name, value] : values) request.give.push_back({name, "", value});
  if (const agent::SecretFailure failure = secrets->Apply(request); failure.error != 0)
    Panic(std::string("secrets of the snapshot: ") + strerror(failure.error));
}

}  // namespace

void RunMachine(const MachineOptions& options) {
  UseDescriptors(options);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!MapIds(options)) Panic(std::string("mapping the ids of the guest: ") + strerror(errno));
  SetEnvironment();
  Signal signal;
  std::string body;
  UniqueFd file;
  if (!Receive(control_line, &signal, &body, &file)) _exit(0);
  BootMessage boot;
  if (signal != Signal::kBoot || body.size() != sizeof(boot)) _exit(1);
  memcpy(&boot, body.data(), sizeof(boot));

  MakeRoot(boot, file);
  file.Reset();
  agent::RaiseDescriptorLimit();
  const agent::KernelOptions kernel = agent::ParseKernelOptions(boot.command_line);
  sethostname(kernel.host_name.data(), kernel.host_name.size());
  agent::Power::Options power;
  power.power_off_is_reboot = kernel.power_off_is_reboot;
  static agent::Agent agent(power);
  agent.Continue(boot.life.epoch, boot.life.is_frozen);
  TakeSecrets(&agent.secrets());
  agent.channel().UseListener(UniqueFd(4));
  the_agent = &agent;

  struct sigaction action {};
  action.sa_handler = OnWires;
  action.sa_flags = SA_RESTART;
  sigaction(SIGIO, &action, nullptr);
  Listen(control_line);
  if (sysrq_line >= 0) Listen(sysrq_line);
  const UniqueFd root(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Send(control_line, Signal::kUp, {}, root.Get());
  // What was written before the signal was asked for.
  kill(getpid(), SIGIO);
  _exit(agent.Run());
}

}  // namespace microvm::fake
