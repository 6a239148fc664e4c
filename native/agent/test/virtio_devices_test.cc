#include "virtio_devices.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "check.h"
#include "proc_file.h"

namespace {

using namespace microvm::agent;

// sysfs' list of devices as a guest has it.
class DeviceList {
 public:
  DeviceList() { CHECK(mkdtemp(directory_.data()) != nullptr); }
  ~DeviceList() {
    for (int n = 0; n < count_; n++) {
      remove((Device(n) + "/device").c_str());
      remove(Device(n).c_str());
    }
    remove(directory_.c_str());
  }

  void Add(const char* id) {
    const std::string device = Device(count_++);
    CHECK(mkdir(device.c_str(), 0700) == 0);
    FILE* file = fopen((device + "/device").c_str(), "w");
    CHECK(file != nullptr && fputs(id, file) >= 0 && fclose(file) == 0);
  }
  VirtioDevices Find() const { return FindVirtioDevices(directory_.c_str()); }

 private:
  std::string Device(int n) const { return directory_ + "/virtio" + std::to_string(n); }

  std::string directory_ = "/tmp/virtio-devices-XXXXXX";
  int count_ = 0;
};

void TellsTheDevicesThatAGuestHas() {
  DeviceList list;
  CHECK(!list.Find().console && !list.Find().vsock);
  list.Add("0x0002\n");
  list.Add("0x0003\n");
  CHECK(list.Find().console && !list.Find().vsock);
  list.Add("0x0013\n");
  CHECK(list.Find().console && list.Find().vsock);
}

void NoVirtioAtAllIsNoDevice() {
  const VirtioDevices none = FindVirtioDevices("/nowhere/virtio");
  CHECK(!none.console && !none.vsock);
}

}  // namespace

int main() {
  TellsTheDevicesThatAGuestHas();
  NoVirtioAtAllIsNoDevice();
}
