#include "peer.h"

#include <linux/vm_sockets.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "channel.h"
#include "check.h"
#include "poller.h"

namespace {

using namespace microvm::agent;
using microvm::UniqueFd;

sockaddr_storage VsockPeer(unsigned cid) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = 1024;
  sockaddr_storage peer{};
  std::memcpy(&peer, &address, sizeof(address));
  return peer;
}

void OnlyTheHostIsTrustedOverVsock() {
  CHECK(IsFromHost(VsockPeer(VMADDR_CID_HOST)));
  constexpr unsigned kLocal = 1;
  for (const unsigned cid : {0u, kLocal, 3u, 42u, static_cast<unsigned>(VMADDR_CID_ANY)}) {
    CHECK(!IsFromHost(VsockPeer(cid)));
  }
}

void UnixSocketsAreTrustedAndNothingElseIs() {
  sockaddr_storage peer{};
  peer.ss_family = AF_UNIX;
  CHECK(IsFromHost(peer));
  peer.ss_family = AF_INET;
  CHECK(!IsFromHost(peer));
}

// A client that connects to this socket; -1 where nobody listens.
UniqueFd Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // SAFETY: the socket calls' own idea of a base type.
  CHECK(connect(fd.Get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

bool trusts_next = false;

bool TrustsNext(const sockaddr_storage&) { return trusts_next; }

// Seen with the check's answer given, as an address that is not the host's cannot be had everywhere.
void StrangerIsCutOffAndTakesNobodysPlace() {
  char folder[] = "/tmp/microvm-peer-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/agent.sock";
  Poller poller;
  Channel channel(&poller, TrustsNext);
  CHECK(channel.Listen(path.c_str()));

  trusts_next = true;
  const UniqueFd host = Connect(path);
  CHECK(channel.OnListenerEvent());
  trusts_next = false;
  const UniqueFd stranger = Connect(path);
  CHECK(!channel.OnListenerEvent());
  CHECK(channel.CanWrite());
  char byte = 0;
  CHECK(read(stranger.Get(), &byte, 1) == 0);
  ByteQueue queue;
  queue.Append("x", 1);
  CHECK(channel.WriteFrom(&queue));
  CHECK(read(host.Get(), &byte, 1) == 1 && byte == 'x');

  CHECK(unlink(path.c_str()) == 0 && rmdir(folder) == 0);
}

}  // namespace

int main() {
  OnlyTheHostIsTrustedOverVsock();
  UnixSocketsAreTrustedAndNothingElseIs();
  StrangerIsCutOffAndTakesNobodysPlace();
  std::puts("peer: ok");
}
