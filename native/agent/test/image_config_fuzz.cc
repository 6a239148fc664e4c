#include <cstdint>
#include <cstdlib>

#include "image_config.h"
#include "protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace microvm::agent;
  PayloadReader in(data, size);
  ImageConfig config;
  if (!DecodeImageConfig(&in, &config)) return 0;
  // What the rest of the agent relies on.
  if (!config.working_dir.empty() && config.working_dir[0] != '/') abort();
  if (config.user.size() > kMaxUser || config.stop_signal < 0 || config.stop_signal > 64) abort();
  SpawnRequest request;
  if (CompleteRequest(config, &request) == (config.entrypoint.empty() && config.cmd.empty())) abort();
  return 0;
}
