#include "vmm/hostile.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "vmm/api_server.h"

namespace microvm::fake {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
// Beyond what any number type of a reader holds exactly.
constexpr const char* kHugeLength = "4611686018427387904";

// False: the peer has hung up.
bool Say(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = send(fd, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (wrote >= 0) {
      done += static_cast<size_t>(wrote);
    } else if (errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

std::string Head(uint64_t status, const std::string& length) {
  return "HTTP/1.1 " + std::to_string(status) +
         " \r\nContent-Type: application/json\r\nContent-Length: " + length + "\r\n\r\n";
}

// A refusal whose words are so many bytes long.
void Rant(int fd, const FaultRule& rule) {
  const std::string before = "{\"fault_message\":\"" + rule.message, after = "\"}";
  const uint64_t size = before.size() + rule.bytes + after.size();
  if (!Say(fd, Head(rule.status, std::to_string(size)) + before)) return;
  const std::string piece(kPieceBytes, 'x');
  for (uint64_t left = rule.bytes; left > 0;) {
    const uint64_t part = std::min<uint64_t>(left, piece.size());
    if (!Say(fd, piece.substr(0, part))) return;
    left -= part;
  }
  Say(fd, after);
}

void Drip(int fd, const FaultRule& rule) {
  if (!Say(fd, "HTTP/1.1 200 \r\nX-Slow: ")) return;
  while (Say(fd, "x")) SleepMs(rule.ms);
}

void NeverEnd(int fd) {
  if (!Say(fd, Head(200, kHugeLength))) return;
  const std::string piece(kPieceBytes, 'x');
  while (Say(fd, piece)) {
  }
}

// The old one goes out of the way, whatever it is: a folder cannot be removed as a file is.
void MakeRoom(const std::string& path) {
  if (unlink(path.c_str()) != 0) rename(path.c_str(), (path + ".moved").c_str());
}

void BindSocket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return;
  memcpy(address.sun_path, path.data(), path.size());
  // It stays open for the VMM's life, and nobody accepts.
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // SAFETY: the socket calls' own idea of a base type.
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) listen(fd, 0);
}

void Fill(const FaultRule& rule) {
  const UniqueFd file(open(rule.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  const std::string piece(kPieceBytes, 'x');
  for (uint64_t left = rule.bytes; left > 0;) {
    const uint64_t part = std::min<uint64_t>(left, piece.size());
    if (write(file.Get(), piece.data(), part) <= 0) return;
    left -= part;
  }
}

}  // namespace

bool SpeakHostile(int fd, const FaultRule& rule) {
  const std::string& act = rule.act;
  if (act == "endless") {
    NeverEnd(fd);
  } else if (act == "rant") {
    Rant(fd, rule);
  } else if (act == "drip") {
    Drip(fd, rule);
  } else if (act == "too-long") {
    Say(fd, Head(200, std::to_string(rule.message.size() + 100)) + rule.message);
  } else if (act == "too-short") {
    Say(fd, Head(200, "1") + rule.message);
  } else if (act == "say") {
    Say(fd, Head(rule.status, std::to_string(rule.message.size())) + rule.message);
  } else if (act == "cut") {
    Say(fd, "HTTP/1.1 204");
    _exit(static_cast<int>(rule.code));
  } else {
    return false;
  }
  return true;
}

bool TamperWithFile(const FaultRule& rule) {
  const char* path = rule.path.c_str();
  if (rule.act == "grow") {
    const UniqueFd file(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (ftruncate(file.Get(), static_cast<off_t>(rule.bytes)) != 0) return true;
  } else if (rule.act == "fill") {
    Fill(rule);
  } else if (rule.act == "link") {
    MakeRoom(rule.path);
    if (symlink(rule.message.c_str(), path) != 0) return true;
  } else if (rule.act == "fifo") {
    MakeRoom(rule.path);
    mkfifo(path, 0666);
  } else if (rule.act == "socket") {
    MakeRoom(rule.path);
    BindSocket(rule.path);
  } else if (rule.act == "folder") {
    MakeRoom(rule.path);
    mkdir(path, 0777);
  } else {
    return false;
  }
  return true;
}

}  // namespace microvm::fake
