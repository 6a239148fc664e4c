#pragma once

#include <string>

#include "kernel_options.h"

namespace microvm::agent {

// Makes a bare initramfs a place to run commands in; called once, as the guest's init.
KernelOptions BootAsInit();

// A guest without its root, or without its init, has nothing to do: it says why and ends.
[[noreturn]] void EndBoot(const std::string& problem);

}  // namespace microvm::agent
