#include <cstdint>
#include <cstdlib>

#include "exec_request.h"
#include "image_config.h"
#include "protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace microvm::agent;
  PayloadReader in(data, size);
  SpawnRequest request;
  if (!DecodeExec(&in, &request)) return 0;
  // What the rest of the agent relies on.
  if (!request.cwd.empty() && request.cwd[0] != '/') abort();
  if (CompleteRequest({}, &request) == request.argv.empty()) abort();
  if (request.argv.empty()) return 0;
  if (request.cwd.empty() || request.cwd[0] != '/') abort();
  if (request.argv.size() > kMaxExecStrings || request.env.size() > kMaxExecStrings) abort();
  if (request.limits.size() > kMaxLimits || request.user.size() > kMaxUser) abort();
  if (request.terminal && (request.terminal->columns == 0 || request.terminal->rows == 0)) abort();
  return 0;
}
