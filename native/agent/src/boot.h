#pragma once

#include "kernel_options.h"

namespace microvm::agent {

// Makes a bare initramfs a place to run commands in; called once, as the guest's init.
KernelOptions BootAsInit();

}  // namespace microvm::agent
