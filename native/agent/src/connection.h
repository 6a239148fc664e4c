#pragma once

#include "connect_request.h"
#include "stream_handler.h"

namespace microvm::agent {

// A connection to a socket of the guest, on its stream to the host. Detached, it is closed.
class Connection final : public StreamHandler {
 public:
  // `socket` is connected, or is about to be.
  Connection(uint32_t stream, UniqueFd socket, UniqueFd copy, uint32_t output_window, Outbox* outbox);

  void OnReady(uint8_t part, uint32_t events) override;
  void Cancel() override;
  int Signal(int) override { return 0; }
  bool Resize(uint16_t, uint16_t) override { return false; }
  bool Pump() override;
  uint64_t deadline() const override { return UINT64_MAX; }
  bool Gone() const override { return !stream_.attached(); }
};

// Another descriptor of it, for the other direction. 0 or an errno.
int DuplicateSocket(const UniqueFd& socket, UniqueFd* copy);

// Begins to connect. Answers 0 or an errno.
int OpenConnection(const ConnectRequest& request, UniqueFd* socket, UniqueFd* copy);

}  // namespace microvm::agent
