#pragma once

namespace microvm::agent {

// Which of the devices that can carry the channel this guest has.
struct VirtioDevices {
  bool console = false;
  bool vsock = false;
};

// `directory` is sysfs' list of all virtio devices.
VirtioDevices FindVirtioDevices(const char* directory);

}  // namespace microvm::agent
