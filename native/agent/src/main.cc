#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "agent.h"
#include "boot.h"
#include "proc_file.h"
#include "spawn.h"
#include "version.h"

namespace {

using microvm::agent::Agent;
using microvm::agent::KernelOptions;
using microvm::agent::Log;

constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

int RunAsInit() {
  const KernelOptions options = microvm::agent::BootAsInit();
  Agent agent({true, options.power_off_is_reboot});
  agent.freezer().UseCgroup(kCgroupRoot);
  agent.channel().Find(options.transport);
  return agent.Run();
}

// What a program that is not the guest's init was told.
struct Arguments {
  const char* fd = nullptr;
  const char* socket = nullptr;
  const char* dial = nullptr;
  const char* cgroup = nullptr;
};

// False where they are not understood.
bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    const char** value = option == "--fd"       ? &arguments->fd
                         : option == "--socket" ? &arguments->socket
                         : option == "--dial"   ? &arguments->dial
                         : option == "--cgroup" ? &arguments->cgroup
                                                : nullptr;
    if (value == nullptr || *value != nullptr || i + 1 == argc) return false;
    *value = argv[i + 1];
  }
  return (arguments->fd == nullptr) != (arguments->socket == nullptr) &&
         (arguments->dial == nullptr || arguments->socket != nullptr);
}

int RunOnDescriptor(const char* text, const char* cgroup) {
  char* end = nullptr;
  const long fd = strtol(text, &end, 10);
  Agent agent({});
  if (cgroup != nullptr) agent.freezer().UseCgroup(cgroup);
  if (*text == '\0' || *end != '\0' || fd < 0 || fd > 1 << 20 ||
      !agent.channel().UseDescriptor(static_cast<int>(fd))) {
    Log("microvm-agent: --fd %s: not a descriptor", text);
    return 2;
  }
  return agent.Run();
}

int RunOnSocket(const char* path, const char* dial_path, const char* cgroup) {
  Agent agent({});
  if (cgroup != nullptr) agent.freezer().UseCgroup(cgroup);
  if (!agent.channel().Listen(path)) {
    Log("microvm-agent: --socket %s: %s", path, strerror(errno));
    return 2;
  }
  if (dial_path != nullptr) agent.channel().Dial(dial_path);
  return agent.Run();
}

}  // namespace

int main(int argc, char** argv) {
  microvm::agent::RaiseDescriptorLimit();
  const std::string_view option = argc > 1 ? argv[1] : "";
  Arguments told;
  if (argc > 1 && Parse(argc, argv, &told)) {
    return told.fd != nullptr ? RunOnDescriptor(told.fd, told.cgroup)
                              : RunOnSocket(told.socket, told.dial, told.cgroup);
  }
  if (argc == 2 && option == "--version") {
    Log("%s", microvm::agent::kAgentVersion);
    return 0;
  }
  // The kernel hands words of its command line that it does not know to init: as process 1 they mean nothing.
  if (getpid() == 1) return RunAsInit();
  Log("usage: microvm-agent --fd N [--cgroup DIR] | --socket PATH [--dial PATH] [--cgroup DIR] | --version; "
      "without arguments only as process 1");
  return 2;
}
