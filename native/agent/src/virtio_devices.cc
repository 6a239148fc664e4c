#include "virtio_devices.h"

#include <dirent.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "proc_file.h"

namespace microvm::agent {
namespace {

// Virtio 1.2, section 5.
constexpr unsigned long kConsoleId = 3;
constexpr unsigned long kVsockId = 19;

}  // namespace

VirtioDevices FindVirtioDevices(const char* directory) {
  VirtioDevices found;
  const std::unique_ptr<DIR, int (*)(DIR*)> devices(opendir(directory), closedir);
  if (!devices) return found;
  while (const dirent* entry = readdir(devices.get())) {
    if (entry->d_name[0] == '.') continue;
    const std::string path = std::string(directory) + "/" + entry->d_name + "/device";
    const unsigned long id = strtoul(ReadSmallFile(path.c_str()).c_str(), nullptr, 16);
    found.console = found.console || id == kConsoleId;
    found.vsock = found.vsock || id == kVsockId;
  }
  return found;
}

}  // namespace microvm::agent
