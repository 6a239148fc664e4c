#pragma once

#include <string>

#include "kernel_options.h"

namespace microvm::agent {

// Makes an image the root of everything: its squashfs below, the folder `upper` of the data disk above, and
// what the init has mounted so far in it. The files of the initramfs are freed. Called once, as the guest's
// init, before there is any other process. Answers why it could not be done; the boot is then over. Empty: it
// is done.
std::string EnterImage(const KernelOptions& options);

}  // namespace microvm::agent
