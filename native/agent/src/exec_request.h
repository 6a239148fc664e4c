#pragma once

#include "spawn.h"
#include "wire.h"

namespace microvm::agent {

// A count and that many strings. False: they break the protocol.
bool DecodeStrings(PayloadReader* in, std::vector<std::string>* strings);

// The same, each `NAME=value`.
bool DecodeEnvironment(PayloadReader* in, std::vector<std::string>* env);

// The body of an OPEN for a command. False: it breaks the protocol. Without `argv` or `cwd` the image of the
// VM names them, see `CompleteRequest`.
bool DecodeExec(PayloadReader* in, SpawnRequest* request);

}  // namespace microvm::agent
