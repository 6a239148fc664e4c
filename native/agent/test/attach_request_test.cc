#include "attach_request.h"

#include "check.h"
#include "protocol.h"

namespace {

using namespace microvm::agent;

bool Decode(const Bytes& bytes, AttachRequest* request) {
  *request = {};
  PayloadReader in(bytes.data(), bytes.size());
  return DecodeAttach(&in, request);
}

PayloadWriter Encode(uint64_t id, uint8_t flags, uint32_t credit) {
  PayloadWriter out;
  out.U64(id).U8(flags).U64(7).U32(credit).U64(1ull << 40).U32(0);
  return out;
}

}  // namespace

int main() {
  AttachRequest request;
  CHECK(Decode(Encode(5, 0, 9).bytes(), &request));
  CHECK(request.id == 5 && !request.input_only);
  CHECK(request.channels[0].offset == 7 && request.channels[0].credit == 9);
  CHECK(request.channels[1].offset == 1ull << 40 && request.channels[1].credit == 0);
  CHECK(Decode(Encode(5, kInputOnly, 0).bytes(), &request) && request.input_only);
  // No id, unknown flags, a window beyond the largest, too long, too short.
  CHECK(!Decode(Encode(0, 0, 9).bytes(), &request));
  CHECK(!Decode(Encode(5, 2, 9).bytes(), &request));
  CHECK(!Decode(Encode(5, 0, kMaxWindow + 1u).bytes(), &request));
  CHECK(!Decode(Encode(5, 0, 9).U8(0).bytes(), &request));
  Bytes cut = Encode(5, 0, 9).bytes();
  cut.pop_back();
  CHECK(!Decode(cut, &request));
}
