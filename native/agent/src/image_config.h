#pragma once

#include <string>
#include <vector>

#include "spawn.h"
#include "wire.h"

namespace microvm::agent {

// What the image of this VM says of the commands in it. Empty: the VM has no image, or it says nothing.
struct ImageConfig {
  std::vector<std::string> env;  // NAME=value, below the environment of the VM
  std::string working_dir;       // absolute, or empty
  std::string user;              // see FindAccount; empty: the agent's own
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  int stop_signal = 0;  // 0: the default
};

// The message SET_IMAGE. False: it breaks the protocol.
bool DecodeImageConfig(PayloadReader* in, ImageConfig* config);

// Gives a request what it leaves to the image: program, folder and user. False: it names no program, and the
// image names none either.
bool CompleteRequest(const ImageConfig& config, SpawnRequest* request);

}  // namespace microvm::agent
