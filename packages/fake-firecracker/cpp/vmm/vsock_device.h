#pragma once

#include <map>
#include <memory>
#include <string>

#include "process/loop.h"
#include "vmm/guest.h"

namespace microvm::fake {

// The vsock device on the host: a unix socket whose clients ask for a port of the guest with `CONNECT
// <port>\n`.
//
// Before the guest is up and while the VM is paused, connections are not looked at: the kernel takes them,
// and nobody answers. A port nobody listens on: closed without a byte. The socket's file stays when the VMM
// ends. Where the agent listens in the guest, and calls on the host.
constexpr unsigned kAgentPort = 1024;

class VsockDevice {
 public:
  explicit VsockDevice(Loop* loop) : loop_(loop) {}
  ~VsockDevice();
  VsockDevice(const VsockDevice&) = delete;
  VsockDevice& operator=(const VsockDevice&) = delete;

  // Empty, or what went wrong.
  std::string Bind(const std::string& path);
  // Removes the file too, as a device does that another one replaces before the boot. 0 or an errno.
  int Unbind();

  // The guest's driver is there: from now on its agent can be reached.
  void Activate(Guest* guest);
  // The agent calls the host, which may have a socket for it at `<path>_<port>`; nobody there is no error.
  void DialOut(unsigned port);
  void Pause();
  void Resume();
  // A snapshot was made: the guest takes its connections for dead as soon as it runs on.
  void ResetConnections();

  struct Counters {
    uint64_t rx_bytes = 0;  // to the host
    uint64_t tx_bytes = 0;  // from it
    uint64_t added = 0;
    uint64_t removed = 0;
  };
  Counters TakeCounters() { return std::exchange(counters_, Counters{}); }

 private:
  struct Side {
    UniqueFd fd;
    std::string waiting;    // for this side
    bool at_end = false;    // it sends no more
    bool told_end = false;  // it was told that the other one sends no more
  };
  struct Connection {
    Side host;
    Side guest;
    std::string request;  // the CONNECT line so far
    bool is_open = false;
    bool is_reset = false;  // the guest's end is gone with a snapshot, the host does not know it yet
  };

  void Accept();
  void OnHost(int fd);
  bool ReadRequest(Connection* connection);
  void Open(Connection* connection, unsigned port);
  // Moves what can be moved; false: it is over.
  bool Move(Connection* connection);
  bool Pump(Side* from, Side* to, uint64_t* counter);
  void Watch(Connection* connection);
  void Close(int host_fd);

  Loop* loop_;
  std::string path_;
  UniqueFd listener_;
  Guest* guest_ = nullptr;
  bool is_paused_ = false;
  uint32_t next_port_ = (1u << 30) + 1;
  std::map<int, std::unique_ptr<Connection>> connections_;  // by the host's descriptor
  Counters counters_;
};

}  // namespace microvm::fake
