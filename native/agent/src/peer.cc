#include "peer.h"

#include <linux/vm_sockets.h>

#include <cstring>

namespace microvm::agent {

bool IsFromHost(const sockaddr_storage& peer) {
  // A unix socket's folder says who may connect.
  if (peer.ss_family == AF_UNIX) return true;
  if (peer.ss_family != AF_VSOCK) return false;
  sockaddr_vm address{};
  std::memcpy(&address, &peer, sizeof(address));
  return address.svm_cid == VMADDR_CID_HOST;
}

}  // namespace microvm::agent
