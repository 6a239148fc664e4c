#pragma once

#include <map>
#include <memory>
#include <string>

#include "http/request_parser.h"
#include "process/loop.h"
#include "vmm/vmm.h"

namespace microvm::fake {

// The API on its unix socket: at most ten connections, kept alive, answered in turn.
class ApiServer {
 public:
  ApiServer(Loop* loop, Vmm* vmm, Faults* faults, size_t payload_limit)
      : loop_(loop), vmm_(vmm), faults_(faults), payload_limit_(payload_limit) {}

  // 0 or an errno. The socket's file is never removed.
  int Listen(const std::string& path);

 private:
  struct Connection {
    UniqueFd fd;
    RequestParser parser;
    std::string waiting;
  };

  void Accept();
  void OnEvent(int fd, uint32_t events);
  bool ReadFrom(Connection* connection);
  bool Flush(Connection* connection);
  void Answer(Connection* connection, const Request& request);
  // True: it was answered by the rule.
  bool Disturb(Connection* connection, const FaultRule& rule);
  void Close(int fd);

  Loop* loop_;
  Vmm* vmm_;
  Faults* faults_;
  size_t payload_limit_;
  UniqueFd listener_;
  std::map<int, std::unique_ptr<Connection>> connections_;
};

// Sleeps, also when signals come in between.
void SleepMs(uint64_t ms);

}  // namespace microvm::fake
