#include "kernel_options.h"

#include "proc_file.h"

namespace microvm::agent {
namespace {

constexpr std::string_view kPrefix = "microvm.";

bool Apply(std::string_view key, std::string_view value, KernelOptions* options) {
  using Transport = KernelOptions::Transport;
  if (key == "data" && value == "none") {
    options->data_disk.clear();
  } else if (key == "data" && value.substr(0, 5) == "/dev/") {
    options->data_disk = value;
    options->data_disk_expected = true;
  } else if (key == "image" && value.substr(0, 5) == "/dev/") {
    options->image = value;
  } else if (key == "init" && (value == "image" || value == "agent")) {
    options->has_image_init = value == "image";
  } else if (key == "poweroff" && (value == "reboot" || value == "off")) {
    options->power_off_is_reboot = value == "reboot";
  } else if (key == "hostname" && !value.empty() && value.size() <= 64) {
    options->host_name = value;
  } else if (key == "channel" && (value == "auto" || value == "virtio" || value == "vsock")) {
    options->transport = value == "auto"     ? Transport::kAuto
                         : value == "virtio" ? Transport::kVirtio
                                             : Transport::kVsock;
  } else {
    return false;
  }
  return true;
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
    const std::string_view key = word.substr(
        kPrefix.size(), equals == std::string_view::npos ? std::string_view::npos : equals - kPrefix.size());
    const std::string_view value = equals == std::string_view::npos ? "" : word.substr(equals + 1);
    if (!Apply(key, value, &options)) {
      Log("microvm-agent: kernel option %.*s not understood", static_cast<int>(word.size()), word.data());
    }
  }
  return options;
}

}  // namespace microvm::agent
