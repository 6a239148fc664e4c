#pragma once

#include "spawn.h"
#include "wire.h"

namespace microvm::agent {

// A count and that many strings `NAME=value`. False: they break the protocol.
bool DecodeEnvironment(PayloadReader* in, std::vector<std::string>* env);

// The body of an OPEN for a command. False: it breaks the protocol.
bool DecodeExec(PayloadReader* in, SpawnRequest* request);

}  // namespace microvm::agent
