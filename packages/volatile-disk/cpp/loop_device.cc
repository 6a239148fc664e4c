#include "loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

namespace microvm::disk {

LoopDevice AttachLoop(const std::string& file) {
  LoopDevice device;
  const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  const UniqueFd backing(open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!control || !backing) return device;
  loop_config config{};
  config.fd = static_cast<__u32>(backing.Get());
  // With direct I/O the file sees each write as the device gets it.
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  for (;;) {
    const int number = ioctl(control.Get(), LOOP_CTL_GET_FREE);
    if (number < 0) return device;
    device.number = static_cast<unsigned>(number);
    const std::string path = "/dev/loop" + std::to_string(number);
    device.fd = UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device.fd) return device;
    if (ioctl(device.fd.Get(), LOOP_CONFIGURE, &config) == 0) return device;
    device.fd.Reset();
    // Somebody else has taken this one meanwhile.
    if (errno != EBUSY) return device;
  }
}

}  // namespace microvm::disk
