#include "kernel_options.h"

#include "proc_file.h"

namespace microvm::agent {
namespace {

constexpr std::string_view kPrefix = "microvm.";

bool Apply(std::string_view key, std::string_view value, KernelOptions* options) {
  if (key == "data") {
    options->data_disk = value == "none" ? "" : value;
    options->data_disk_expected = value != "none";
    return value == "none" || value.substr(0, 5) == "/dev/";
  }
  if (key == "poweroff") {
    options->power_off_is_reboot = value == "reboot";
    return value == "reboot" || value == "off";
  }
  if (key == "hostname") {
    if (value.empty() || value.size() > 64) return false;
    options->host_name = value;
    return true;
  }
  if (key == "channel") {
    options->transport = value == "virtio"  ? KernelOptions::Transport::kVirtio
                         : value == "vsock" ? KernelOptions::Transport::kVsock
                                            : KernelOptions::Transport::kAuto;
    return value == "virtio" || value == "vsock" || value == "auto";
  }
  return false;
}

}  // namespace

KernelOptions ParseKernelOptions(std::string_view command_line) {
  KernelOptions options;
  while (!command_line.empty()) {
    const size_t end = command_line.find_first_of(" \n");
    const std::string_view word = command_line.substr(0, end);
    command_line = end == std::string_view::npos ? std::string_view() : command_line.substr(end + 1);
    if (word.substr(0, kPrefix.size()) != kPrefix) continue;
    const size_t equals = word.find('=');
    const std::string_view key = word.substr(kPrefix.size(), equals == std::string_view::npos
                                                                 ? std::string_view::npos
                                                                 : equals - kPrefix.size());
    const std::string_view value = equals == std::string_view::npos ? "" : word.substr(equals + 1);
    if (!Apply(key, value, &options)) {
      Log("microvm-agent: kernel option %.*s not understood", static_cast<int>(word.size()), word.data());
    }
  }
  return options;
}

}  // namespace microvm::agent
