#include "connect_request.h"

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "protocol.h"

#ifndef VMADDR_CID_LOCAL
#define VMADDR_CID_LOCAL 1
#endif

namespace microvm::agent {
namespace {

template <typename Address>
void Set(ConnectRequest* request, const Address& address, size_t size = sizeof(Address)) {
  std::memcpy(&request->address, &address, sizeof(address));
  request->size = static_cast<socklen_t>(size);
}

bool SetInternet(ConnectRequest* request, const std::string& host, uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
    Set(request, four);
    return true;
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) != 1) return false;
  Set(request, six);
  return true;
}

bool SetUnix(ConnectRequest* request, std::string_view path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return false;
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  Set(request, address, offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return true;
}

bool DecodeTarget(PayloadReader* in, ConnectRequest* request) {
  const auto kind = static_cast<TargetKind>(in->U8());
  switch (kind) {
    case TargetKind::kInternet: {
      const std::string host(in->Text(kMaxHost));
      const uint16_t port = in->U16();
      return in->ok() && port != 0 && SetInternet(request, host, port);
    }
    case TargetKind::kUnix: {
      const std::string_view path = in->Text(kMaxSocketPath);
      return in->ok() && SetUnix(request, path);
    }
    case TargetKind::kVsock: {
      sockaddr_vm address{};
      address.svm_family = AF_VSOCK;
      address.svm_cid = VMADDR_CID_LOCAL;
      address.svm_port = in->U32();
      Set(request, address);
      return in->ok();
    }
  }
  return false;
}

}  // namespace

bool DecodeConnect(PayloadReader* in, ConnectRequest* request) {
  return DecodeTarget(in, request) && in->Done();
}

bool DecodeListen(PayloadReader* in, ConnectRequest* request, uint16_t* mode) {
  if (!DecodeTarget(in, request)) return false;
  *mode = in->U16();
  return in->Done() && *mode <= 0777;
}

}  // namespace microvm::agent
