#include <cstdint>
#include <cstdlib>

#include "attach_request.h"
#include "protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace microvm::agent;
  PayloadReader in(data, size);
  AttachRequest request;
  if (!DecodeAttach(&in, &request)) return 0;
  // What a command relies on.
  if (request.id == 0) abort();
  for (const AttachRequest::Channel& channel : request.channels) {
    if (channel.credit > kMaxWindow) abort();
  }
  return 0;
}
