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

int RunOnDescriptor(const char* text) {
  char* end = nullptr;
  const long fd = strtol(text, &end, 10);
  Agent agent({});
  if (*text == '\0' || *end != '\0' || fd < 0 || fd > 1 << 20 ||
      !agent.channel().UseDescriptor(static_cast<int>(fd))) {
    Log("microvm-agent: --fd %s: not a descriptor", text);
    return 2;
  }
  return agent.Run();
}

int RunOnSocket(const char* path, const char* dial_path) {
  Agent agent({});
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
  if (argc == 3 && option == "--fd") return RunOnDescriptor(argv[2]);
  if (argc == 3 && option == "--socket") return RunOnSocket(argv[2], nullptr);
  if (argc == 5 && option == "--socket" && std::string_view(argv[3]) == "--dial") {
    return RunOnSocket(argv[2], argv[4]);
  }
  if (argc == 2 && option == "--version") {
    Log("%s", microvm::agent::kAgentVersion);
    return 0;
  }
  // The kernel hands words of its command line that it does not know to init: as process 1 they mean nothing.
  if (getpid() == 1) return RunAsInit();
  Log("usage: microvm-agent --fd N | --socket PATH [--dial PATH] | --version; without arguments only as "
      "process 1");
  return 2;
}
