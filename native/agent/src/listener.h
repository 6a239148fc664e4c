#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>

#include "connect_request.h"
#include "stream_handler.h"

namespace microvm::agent {

// A socket of the guest that the host listens on. Each connection waits here under a number, which the stream
// tells the host on channel 1, until the host takes it by a stream of its own. Detached, it listens no more.
class Listener final : public StreamHandler {
 public:
  struct Parts {
    UniqueFd socket;
    // A pipe for the numbers: what lies in it waits for the host's credit.
    UniqueFd numbers;
    UniqueFd numbers_end;
    // What `bind` has made in the file system, and what it is known by; empty without.
    std::string path;
    struct stat made {};
  };

  Listener(uint32_t stream, Parts parts, uint32_t output_window, Outbox* outbox);
  ~Listener() override;

  int fd(uint8_t part) const override;
  void OnReady(uint8_t part, uint32_t events) override;
  UniqueFd TakeWaiting(uint32_t number) override;
  void Cancel() override { stream_.Finish({}); }
  int Signal(int) override { return 0; }
  bool Resize(uint16_t, uint16_t) override { return false; }
  bool Pump() override;
  uint64_t deadline() const override { return UINT64_MAX; }
  bool Gone() const override { return !stream_.attached(); }

 private:
  static constexpr uint8_t kSocketPart = kFirstOwnPart;

  void Accept();

  UniqueFd socket_;
  UniqueFd numbers_;
  std::string path_;
  struct stat made_;
  bool ready_ = true;
  uint32_t last_number_ = 0;
  std::map<uint32_t, UniqueFd> waiting_;
};

// Binds and listens; `mode` is that of a unix socket's file. 0 or an errno.
int OpenListener(const ConnectRequest& address, uint16_t mode, Listener::Parts* parts);

}  // namespace microvm::agent
