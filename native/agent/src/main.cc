#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "agent.h"
#include "boot.h"
#include "image_init.h"
#include "proc_file.h"
#include "spawn.h"
#include "version.h"

namespace {

using microvm::agent::Agent;
using microvm::agent::ImageInit;
using microvm::agent::KernelOptions;
using microvm::agent::Log;

constexpr const char* kSecretsFolder = "/run/secrets";
constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

int RunAsInit(char* own_name) {
  const KernelOptions options = microvm::agent::BootAsInit();
  ImageInit image_init;
  const bool is_beside = !options.image.empty() && options.has_image_init;
  if (is_beside) {
    const std::string problem = image_init.Fork(own_name);
    if (!problem.empty()) microvm::agent::EndBoot(problem);
  }
  microvm::agent::Power::Options power;
  power.is_init = !is_beside;
  power.is_beside_init = is_beside;
  power.power_off_is_reboot = options.power_off_is_reboot;
  if (!options.image.empty()) power.below_root = options.data_disk;
  Agent agent(power);
  agent.freezer().UseCgroup(kCgroupRoot);
  image_init.Start();
  agent.secrets().UseFolder(kSecretsFolder);
  agent.channel().Find(options.transport);
  return agent.Run();
}

// What a program that is not the guest's init was told.
struct Arguments {
  const char* fd = nullptr;
  const char* socket = nullptr;
  const char* dial = nullptr;
  const char* cgroup = nullptr;
  const char* await_ms = nullptr;
  const char* secrets = nullptr;
};

bool ParseNumber(const char* text, long most, long* number) {
  char* end = nullptr;
  *number = strtol(text, &end, 10);
  return *text != '\0' && *end == '\0' && *number >= 0 && *number <= most;
}

// What is the same for every channel. False: it was told why.
bool SetUp(const Arguments& told, Agent* agent) {
  if (told.cgroup != nullptr) agent->freezer().UseCgroup(told.cgroup);
  if (told.secrets != nullptr) agent->secrets().UseFolder(told.secrets);
  long await_ms = 0;
  if (told.await_ms == nullptr) return true;
  if (!ParseNumber(told.await_ms, 3600000, &await_ms)) {
    Log("microvm-agent: --await-ms %s: not a number of milliseconds up to an hour", told.await_ms);
    return false;
  }
  agent->commands().AwaitReadersFor(static_cast<uint64_t>(await_ms));
  return true;
}

// False where they are not understood.
bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    const char** value = option == "--fd"         ? &arguments->fd
                         : option == "--socket"   ? &arguments->socket
                         : option == "--dial"     ? &arguments->dial
                         : option == "--cgroup"   ? &arguments->cgroup
                         : option == "--await-ms" ? &arguments->await_ms
                         : option == "--secrets"  ? &arguments->secrets
                                                  : nullptr;
    if (value == nullptr || *value != nullptr || i + 1 == argc) return false;
    *value = argv[i + 1];
  }
  return (arguments->fd == nullptr) != (arguments->socket == nullptr) &&
         (arguments->dial == nullptr || arguments->socket != nullptr);
}

int RunOnDescriptor(const Arguments& told) {
  long fd = 0;
  Agent agent({});
  if (!SetUp(told, &agent)) return 2;
  if (!ParseNumber(told.fd, 1 << 20, &fd) || !agent.channel().UseDescriptor(static_cast<int>(fd))) {
    Log("microvm-agent: --fd %s: not a descriptor", told.fd);
    return 2;
  }
  return agent.Run();
}

int RunOnSocket(const Arguments& told) {
  Agent agent({});
  if (!SetUp(told, &agent)) return 2;
  if (!agent.channel().Listen(told.socket)) {
    Log("microvm-agent: --socket %s: %s", told.socket, strerror(errno));
    return 2;
  }
  if (told.dial != nullptr) agent.channel().Dial(told.dial);
  return agent.Run();
}

}  // namespace

int main(int argc, char** argv) {
  microvm::agent::RaiseDescriptorLimit();
  const std::string_view option = argc > 1 ? argv[1] : "";
  Arguments told;
  if (argc > 1 && Parse(argc, argv, &told)) {
    return told.fd != nullptr ? RunOnDescriptor(told) : RunOnSocket(told);
  }
  if (argc == 2 && option == "--version") {
    Log("%s", microvm::agent::kAgentVersion);
    return 0;
  }
  // The kernel hands words of its command line that it does not know to init: as process 1 they mean nothing.
  if (getpid() == 1) return RunAsInit(argv[0]);
  Log("usage: microvm-agent (--fd N | --socket PATH [--dial PATH]) [--cgroup DIR] [--secrets DIR] "
      "[--await-ms N] | "
      "--version; "
      "without arguments only as process 1");
  return 2;
}
