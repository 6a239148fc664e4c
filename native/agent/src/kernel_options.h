#pragma once

#include <string>
#include <string_view>

namespace microvm::agent {

// The `microvm.*` keys of the kernel command line; docs/guest-protocol.md lists them.
struct KernelOptions {
  enum class Transport { kAuto, kVirtio, kVsock };

  std::string data_disk = "/dev/vda";
  bool data_disk_expected = false;  // named by the command line: waited for, and its absence is told
  std::string image;                // the squashfs that is made the root; empty: the initramfs stays it
  bool has_image_init = false;      // the image's own /sbin/init becomes process 1
  bool power_off_is_reboot = false;
  std::string host_name = "microvm";
  Transport transport = Transport::kAuto;
};

// An unknown key or value of ours is told on the console and otherwise left alone: a guest that boots is
// worth more.
KernelOptions ParseKernelOptions(std::string_view command_line);

}  // namespace microvm::agent
