#include <netinet/in.h>
#include <sys/un.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "connect_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace microvm::agent;
  if (size == 0) return 0;
  PayloadReader in(data + 1, size - 1);
  ConnectRequest request;
  uint16_t mode = 0;
  const bool is_listener = data[0] % 2 == 1;
  if (!(is_listener ? DecodeListen(&in, &request, &mode) : DecodeConnect(&in, &request))) return 0;
  if (mode > 0777) abort();
  // What the socket calls rely on.
  if (request.size == 0 || request.size > sizeof(request.address)) abort();
  if (request.address.ss_family == AF_UNIX) {
    sockaddr_un address;
    std::memcpy(&address, &request.address, sizeof(address));
    // A path that began with NUL would be a name of the abstract kind.
    if (address.sun_path[0] == 0 ||
        strnlen(address.sun_path, sizeof(address.sun_path)) == sizeof(address.sun_path))
      abort();
  }
  return 0;
}
