#include "attach_request.h"

#include "protocol.h"

namespace microvm::agent {

bool DecodeAttach(PayloadReader* in, AttachRequest* request) {
  request->id = in->U64();
  const uint8_t flags = in->U8();
  for (AttachRequest::Channel& channel : request->channels) {
    channel.offset = in->U64();
    channel.credit = in->U32();
    if (channel.credit > kMaxWindow) return false;
  }
  request->input_only = (flags & kInputOnly) != 0;
  return in->Done() && request->id != 0 && (flags & ~kInputOnly) == 0;
}

}  // namespace microvm::agent
