#pragma once

#include <string>
#include <string_view>

#include "guest/control.h"

namespace microvm::fake {

// Makes the guest's root folder, in memory as a Linux' initramfs is, and leaves the host's behind: the
// archive's files, /proc, /dev. Answers with what went wrong, or nothing. `sysrq` gets what is written to
// /proc/sysrq-trigger.
std::string MountRoot(std::string_view archive, const BootMessage& boot, int* sysrq);

}  // namespace microvm::fake
