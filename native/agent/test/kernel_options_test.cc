#include "kernel_options.h"

#include <cstdio>

#include "check.h"

namespace {

using microvm::agent::KernelOptions;
using microvm::agent::ParseKernelOptions;

void AnImageIsNamedByItsDevice() {
  const KernelOptions options = ParseKernelOptions("quiet microvm.image=/dev/vdb microvm.hostname=h\n");
  CHECK(options.image == "/dev/vdb" && options.data_disk == "/dev/vda" && options.host_name == "h");
}

void ThereIsNoneByDefaultOrByAnotherWord() {
  for (const char* line :
       {"", "microvm.image=", "microvm.image=vdb", "microvm.image", "xmicrovm.image=/dev/vdb"})
    CHECK(ParseKernelOptions(line).image.empty());
}

void TheDiskIsTheOneThatIsNamed() {
  CHECK(ParseKernelOptions("microvm.image=/dev/vdb microvm.data=/dev/vdc").data_disk == "/dev/vdc");
  CHECK(ParseKernelOptions("microvm.image=/dev/vdb microvm.data=none").data_disk.empty());
}

void TheInitIsTheAgentUnlessTheImageHasOne() {
  CHECK(!ParseKernelOptions("microvm.image=/dev/vdb").has_image_init);
  CHECK(ParseKernelOptions("microvm.init=image").has_image_init);
  CHECK(!ParseKernelOptions("microvm.init=image microvm.init=agent").has_image_init);
  CHECK(!ParseKernelOptions("microvm.init=/sbin/init init=/bin/sh").has_image_init);
}

}  // namespace

int main() {
  AnImageIsNamedByItsDevice();
  ThereIsNoneByDefaultOrByAnotherWord();
  TheDiskIsTheOneThatIsNamed();
  TheInitIsTheAgentUnlessTheImageHasOne();
  std::puts("kernel options: ok");
}
