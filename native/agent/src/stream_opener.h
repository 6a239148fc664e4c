#pragma once

#include <cstdint>
#include <functional>

#include "attach_request.h"
#include "command_table.h"
#include "connect_request.h"
#include "freezer.h"
#include "outbox.h"
#include "power.h"
#include "secret_store.h"
#include "stream_table.h"
#include "wire.h"

namespace microvm::agent {

// What OPEN does: each kind of stream is begun here, or the host is told why it is not.
class StreamOpener {
 public:
  struct Parts {
    Outbox* outbox;
    StreamTable* streams;
    CommandTable* commands;
    Freezer* freezer;
    Power* power;
    SecretStore* secrets;
  };
  explicit StreamOpener(const Parts& parts)
      : outbox_(parts.outbox),
        streams_(parts.streams),
        commands_(parts.commands),
        freezer_(parts.freezer),
        power_(parts.power),
        secrets_(parts.secrets) {}

  // A session has begun, whose streams let each output hold so much at first.
  void Begin(uint32_t output_window) { output_window_ = output_window; }
  // How the message breaks the protocol; nullptr when it does not.
  [[nodiscard]] const char* Open(uint32_t stream, const Bytes& body);

 private:
  // Its variables get the values of secrets first.
  void StartWithSecrets(uint32_t stream, SpawnRequest* request);
  void StartExec(uint32_t stream, const SpawnRequest& request);
  void AttachReader(uint32_t stream, const AttachRequest& request);
  void StartConnection(uint32_t stream, const ConnectRequest& request);
  void StartListener(uint32_t stream, const ConnectRequest& address, uint16_t mode);
  void AcceptConnection(uint32_t stream, uint32_t listener, uint32_t number);
  // Makes a stream where there may be one; `make` answers 0 or the errno of the step.
  void Start(uint32_t stream, const char* step, const std::function<int()>& make);
  // 0 or an errno.
  int AddConnection(uint32_t stream, UniqueFd socket, UniqueFd copy);
  // False: no stream is opened now, and the host was told why.
  bool MayOpen(uint32_t stream);

  Outbox* outbox_;
  StreamTable* streams_;
  CommandTable* commands_;
  Freezer* freezer_;
  Power* power_;
  SecretStore* secrets_;
  uint32_t output_window_ = 0;
};

}  // namespace microvm::agent
