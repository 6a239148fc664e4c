#pragma once

#include <string>

#include "vmm/faults.h"

namespace microvm::fake {

// What a VMM does that somebody has taken over: it answers as no Firecracker does, and does as it likes with
// the files that it can reach.

// True: the rule is one of answers, and `fd` has been told. Returns when the peer has hung up or the rule is
// done.
bool SpeakHostile(int fd, const FaultRule& rule);

// True: the rule is one of files, and its file has been changed.
bool TamperWithFile(const FaultRule& rule);

}  // namespace microvm::fake
