#pragma once

#include "spawn.h"
#include "wire.h"

namespace microvm::agent {

// The body of an OPEN for a command. False: it breaks the protocol.
bool DecodeExec(PayloadReader* in, SpawnRequest* request);

}  // namespace microvm::agent
