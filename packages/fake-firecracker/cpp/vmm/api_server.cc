#include "vmm/api_server.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "vmm/hostile.h"

namespace microvm::fake {
namespace {

constexpr size_t kMaxConnections = 10;

// The occurrence that fault rules name: the method and the path.
std::string Occurrence(const Request& request) {
  constexpr const char* kNames[] = {"GET ", "PUT ", "PATCH ", "DELETE "};
  return kNames[static_cast<int>(request.method)] + request.uri;
}

}  // namespace

void SleepMs(uint64_t ms) {
  timespec rest{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000 * 1000000)};
  while (nanosleep(&rest, &rest) != 0) {
  }
}

int ApiServer::Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // SAFETY: the socket calls' own idea of a base type.
  if (bind(listener_.Get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return errno;
  if (listen(listener_.Get(), 128) != 0) return errno;
  loop_->Add(listener_.Get(), EPOLLIN, [this](uint32_t) { Accept(); });
  return 0;
}

void ApiServer::Accept() {
  UniqueFd fd(accept4(listener_.Get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return;
  if (connections_.size() >= kMaxConnections) {
    WriteAll(fd.Get(), TooManyConnectionsBytes());
    return;
  }
  const int key = fd.Get();
  connections_[key] =
      std::unique_ptr<Connection>(new Connection{std::move(fd), RequestParser(payload_limit_), ""});
  loop_->Add(key, EPOLLIN, [this, key](uint32_t events) { OnEvent(key, events); });
}

void ApiServer::OnEvent(int fd, uint32_t events) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Connection* connection = found->second.get();
  const bool lives = (events & EPOLLIN) != 0 ? ReadFrom(connection) : (events & (EPOLLHUP | EPOLLERR)) == 0;
  if (!lives || !Flush(connection)) Close(fd);
}

bool ApiServer::ReadFrom(Connection* connection) {
  char bytes[16384];
  const ssize_t got = read(connection->fd.Get(), bytes, sizeof(bytes));
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  connection->parser.Feed({bytes, static_cast<size_t>(got)});
  for (Request request;;) {
    switch (connection->parser.Next(&request)) {
      case RequestParser::Event::kNeedMore:
        return true;
      case RequestParser::Event::kContinue:
        connection->waiting += ContinueBytes();
        return true;
      case RequestParser::Event::kError:
        connection->waiting += ResponseBytes(400, connection->parser.error());
        break;
      case RequestParser::Event::kRequest:
        Answer(connection, request);
        break;
    }
  }
}

void ApiServer::Answer(Connection* connection, const Request& request) {
  const std::optional<FaultRule> rule = faults_->Next(Occurrence(request));
  if (rule && Disturb(connection, *rule)) return;
  const Response response = vmm_->Handle(request);
  if (rule) TamperWithFile(*rule);
  if (rule && rule->act == "exit-after") _exit(static_cast<int>(rule->code));
  connection->waiting += ResponseBytes(response.status, response.body);
  if (!response.exit_code) return;
  Flush(connection);
  vmm_->Exit(*response.exit_code);
}

bool ApiServer::Disturb(Connection* connection, const FaultRule& rule) {
  if (rule.act == "answer") {
    connection->waiting +=
        ResponseBytes(static_cast<int>(rule.status), "{\"fault_message\":" + Quoted(rule.message) + "}");
    return true;
  }
  if (rule.act == "hang") {
    for (;;) pause();
  }
  if (SpeakHostile(connection->fd.Get(), rule)) return true;
  if (rule.act == "delay") SleepMs(rule.ms);
  if (rule.act == "exit") _exit(static_cast<int>(rule.code));
  if (rule.act == "signal") raise(static_cast<int>(rule.signal));
  return false;
}

bool ApiServer::Flush(Connection* connection) {
  std::string& waiting = connection->waiting;
  while (!waiting.empty()) {
    const ssize_t wrote = send(connection->fd.Get(), waiting.data(), waiting.size(), MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno != EAGAIN) return false;
    if (wrote < 0) break;
    waiting.erase(0, static_cast<size_t>(wrote));
  }
  loop_->Change(connection->fd.Get(), waiting.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  return true;
}

void ApiServer::Close(int fd) {
  loop_->Remove(fd);
  connections_.erase(fd);
}

}  // namespace microvm::fake
