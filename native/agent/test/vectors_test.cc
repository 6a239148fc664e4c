#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "attach_request.h"
#include "check.h"
#include "connect_request.h"
#include "decode_all.h"
#include "exec_request.h"
#include "file_channel.h"
#include "image_config.h"
#include "outbox.h"
#include "secret_store.h"
#include "system_metrics.h"

// The test vectors of docs/guest-protocol.md, which the client's tests read as well.

namespace {

using namespace microvm::agent;

std::map<std::string, std::string> ReadVectors() {
  std::ifstream page(MICROVM_PROTOCOL_PAGE);
  std::map<std::string, std::string> vectors;
  bool is_inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line == "```vectors") {
      is_inside = true;
    } else if (line == "```") {
      is_inside = false;
    } else if (is_inside) {
      const size_t space = line.find(' ');
      CHECK(space != std::string::npos);
      std::string bytes;
      for (size_t at = space + 1; at + 1 < line.size(); at += 2)
        bytes += static_cast<char>(std::stoi(line.substr(at, 2), nullptr, 16));
      vectors[line.substr(0, space)] = bytes;
    }
  }
  return vectors;
}

Decoded DecodeOne(const std::string& frame) {
  Decoder decoder;
  const std::string mark = std::string(kPreamble.begin(), kPreamble.end()) + std::string(kSessionIdSize, 's');
  const std::vector<Decoded> decoded = DecodeAll(&decoder, mark + frame, [] { return size_t{1} << 20; });
  CHECK(decoded.size() == 2 && decoded[1].event == Decoder::Event::kFrame);
  return decoded[1];
}

template <typename Request>
Request DecodeOpen(const std::string& frame, StreamKind kind, bool (*decode)(PayloadReader*, Request*)) {
  const Decoded open = DecodeOne(frame);
  CHECK(open.type == FrameType::kOpen);
  // SAFETY: characters as bytes.
  PayloadReader in(reinterpret_cast<const uint8_t*>(open.payload.data()), open.payload.size());
  CHECK(static_cast<StreamKind>(in.U8()) == kind);
  Request request;
  CHECK(decode(&in, &request));
  return request;
}

constexpr uint64_t kId = 0x0123456789abcdef;

SpawnRequest DecodeOpenExec(const std::string& frame) {
  return DecodeOpen<SpawnRequest>(frame, StreamKind::kExec, DecodeExec);
}

template <typename Address>
Address DecodeOpenConnect(const std::string& frame) {
  const auto request = DecodeOpen<ConnectRequest>(frame, StreamKind::kConnect, DecodeConnect);
  Address address;
  std::memcpy(&address, &request.address, sizeof(address));
  return address;
}

void ReadsTargets(const std::string& internet, const std::string& unix_socket, const std::string& vsock) {
  const auto six = DecodeOpenConnect<sockaddr_in6>(internet);
  CHECK(six.sin6_family == AF_INET6 && ntohs(six.sin6_port) == 8080);
  CHECK(std::memcmp(&six.sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback)) == 0);
  const auto path = DecodeOpenConnect<sockaddr_un>(unix_socket);
  CHECK(path.sun_family == AF_UNIX && std::string(path.sun_path) == "/run/a.sock");
  const auto own = DecodeOpenConnect<sockaddr_vm>(vsock);
  CHECK(own.svm_family == AF_VSOCK && own.svm_port == 5000 && own.svm_cid == 1);
}

// A request to a file worker, which is the whole payload of a DATA frame.
FileRequest DecodeFileMessage(const std::string& frame) {
  const Decoded data = DecodeOne(frame);
  uint32_t length = 0;
  CHECK(data.type == FrameType::kData && data.payload.size() > 5);
  std::memcpy(&length, data.payload.data(), sizeof(length));
  CHECK(length + sizeof(length) == data.payload.size());
  FileRequest request;
  // SAFETY: characters as bytes.
  const auto* body = reinterpret_cast<const uint8_t*>(data.payload.data()) + 5;
  CHECK(DecodeFileRequest(static_cast<uint8_t>(data.payload[4]), body, length - 1, &request));
  return request;
}

void ReadsFileRequests(const std::function<std::string(const char*)>& take) {
  const Decoded open = DecodeOne(take("open-files"));
  CHECK(open.type == FrameType::kOpen && open.payload == std::string("\x04\x02\0\0\0me", 7));
  const FileRequest stat = DecodeFileMessage(take("file-lstat"));
  CHECK(stat.op == FileOp::kStat && stat.target == FileTarget::kLink && stat.path == "/a\xff");
  const FileRequest write = DecodeFileMessage(take("file-write-file"));
  CHECK(write.op == FileOp::kWriteFile && write.flags == 01101 && write.mode == 0640);
  CHECK(write.options == kWriteAtomic && write.position == kNoPosition && write.path == "/a");
  const FileRequest times = DecodeFileMessage(take("file-utimes"));
  CHECK(times.op == FileOp::kUtimes && times.target == FileTarget::kPath && times.path == "/a");
  CHECK(times.atime_ns == 1500000000 && times.mtime_ns == -1000);
}

// What a file worker writes to its standard output.
template <typename Answer>
std::string SaidByWorker(const Answer& answer) {
  int pipe_fds[2];
  CHECK(pipe(pipe_fds) == 0);
  const int saved = dup(1);
  CHECK(saved >= 0 && dup2(pipe_fds[1], 1) == 1);
  FileChannel channel;
  CHECK(answer(&channel));
  CHECK(dup2(saved, 1) == 1);
  char said[4096];
  const ssize_t size = read(pipe_fds[0], said, sizeof(said));
  CHECK(size > 0);
  for (const int fd : {pipe_fds[0], pipe_fds[1], saved}) close(fd);
  return std::string(said, static_cast<size_t>(size));
}

void ReadsListeners(const std::string& internet, const std::string& unix_socket, const std::string& accept) {
  uint16_t mode = 0;
  const auto decode = [&](const std::string& frame) {
    const Decoded open = DecodeOne(frame);
    // SAFETY: characters as bytes.
    PayloadReader in(reinterpret_cast<const uint8_t*>(open.payload.data()), open.payload.size());
    CHECK(static_cast<StreamKind>(in.U8()) == StreamKind::kListen);
    ConnectRequest request;
    CHECK(DecodeListen(&in, &request, &mode));
    return request;
  };
  CHECK(decode(internet).address.ss_family == AF_INET6 && mode == 0600);
  CHECK(decode(unix_socket).address.ss_family == AF_UNIX && mode == 0666);
  const Decoded open = DecodeOne(accept);
  CHECK(open.payload == std::string("\x06\x07\x00\x00\x00\x09\x00\x00\x00", 9));
}

void ReadsWhatTheHostSends(std::map<std::string, std::string>* vectors) {
  const auto take = [&](const char* name) {
    const auto node = vectors->extract(name);
    CHECK(!node.empty());
    return node.mapped();
  };
  ReadsFileRequests(take);
  const SpawnRequest plain = DecodeOpenExec(take("open-exec"));
  CHECK((plain.argv == std::vector<std::string>{"true"}) && plain.env.empty() && plain.cwd == "/");
  CHECK(plain.id == kId && !plain.detached);
  CHECK(plain.user.empty() && plain.limits.empty() && !plain.terminal);
  const SpawnRequest full = DecodeOpenExec(take("open-exec-full"));
  CHECK((full.argv == std::vector<std::string>{"sh", "-c", "exit 3"}) && full.cwd == "/srv");
  CHECK(full.id == kId && full.detached);
  CHECK((full.env == std::vector<std::string>{"A=1=2"}) && full.user == "me:wheel" &&
        full.limits.size() == 5);
  for (size_t i = 0; i < full.limits.size(); i++) CHECK(full.limits[i].value == i + 1);
  CHECK(full.terminal && full.terminal->columns == 80 && full.terminal->rows == 24);
  CHECK(full.terminal->term == "xterm");
  CHECK(plain.secrets.empty() && full.secrets.size() == 1);
  CHECK(full.secrets[0].name == "TOKEN" && full.secrets[0].secret == "registry");

  const SpawnRequest of_image = DecodeOpenExec(take("open-exec-of-image"));
  CHECK(of_image.argv.empty() && of_image.cwd.empty() && of_image.user.empty());

  const Decoded image = DecodeOne(take("set-image"));
  // SAFETY: characters as bytes.
  PayloadReader of_config(reinterpret_cast<const uint8_t*>(image.payload.data()), image.payload.size());
  ImageConfig config;
  CHECK(image.type == FrameType::kSetImage && DecodeImageConfig(&of_config, &config));
  CHECK((config.env == std::vector<std::string>{"A=1=2", "EMPTY="}) && config.working_dir == "/srv");
  CHECK(config.user == "me:wheel" && config.stop_signal == 37);
  CHECK((config.entrypoint == std::vector<std::string>{"/bin/start"}));
  CHECK((config.cmd == std::vector<std::string>{"-v"}));

  const Decoded settings = DecodeOne(take("set-env"));
  // SAFETY: characters as bytes.
  PayloadReader in(reinterpret_cast<const uint8_t*>(settings.payload.data()), settings.payload.size());
  std::vector<std::string> env;
  CHECK(settings.type == FrameType::kSetEnv && DecodeEnvironment(&in, &env) && in.Done());
  CHECK((env == std::vector<std::string>{"A=1=2", "EMPTY="}));
  const auto attach = DecodeOpen<AttachRequest>(take("open-attach"), StreamKind::kAttach, DecodeAttach);
  CHECK(attach.id == kId && !attach.input_only);
  CHECK(attach.channels[0].offset == 1000 && attach.channels[0].credit == 32768);
  CHECK(attach.channels[1].offset == 2 && attach.channels[1].credit == 0);
  const std::string input_only = take("open-attach-input-only");
  CHECK(DecodeOpen<AttachRequest>(input_only, StreamKind::kAttach, DecodeAttach).input_only);

  const Decoded secrets = DecodeOne(take("secrets"));
  // SAFETY: characters as bytes.
  PayloadReader of_secrets(reinterpret_cast<const uint8_t*>(secrets.payload.data()), secrets.payload.size());
  SecretsRequest shall_be;
  CHECK(secrets.type == FrameType::kSecrets && DecodeSecrets(&of_secrets, &shall_be));
  CHECK((shall_be.keep == std::vector<std::string_view>{"kept"}) && shall_be.give.size() == 1);
  CHECK(shall_be.give[0].name == "token" && shall_be.give[0].owner == "me");
  CHECK(shall_be.give[0].value == std::string_view("a\0b", 3));

  ReadsTargets(take("open-connect-internet"), take("open-connect-unix"), take("open-connect-vsock"));

  ReadsListeners(take("open-listen-internet"), take("open-listen-unix"), take("open-accept"));

  const std::map<std::string, std::pair<FrameType, std::string>> others = {
      {"data", {FrameType::kData, "abc"}},
      {"end", {FrameType::kEnd, ""}},
      {"cancel", {FrameType::kCancel, ""}},
      {"credit", {FrameType::kCredit, std::string("\x01\x00\x20\x00\x00", 5)}},
      {"signal", {FrameType::kSignal, std::string("\x01\x00\x00\x00\x0f", 5)}},
      {"signal-by-id", {FrameType::kSignal, std::string("\0\0\0\0\x0f\xef\xcd\xab\x89\x67\x45\x23\x01", 13)}},
      {"ack", {FrameType::kAck, std::string("\x01\x00\xf2\x05\x2a\x01\x00\x00\x00", 9)}},
      {"detach", {FrameType::kDetach, ""}},
      {"list-commands", {FrameType::kListCommands, std::string("\x81\x00\x00\x00", 4)}},
      {"resize", {FrameType::kResize, std::string("\x84\x00\x32\x00", 4)}},
      {"metrics", {FrameType::kMetrics, ""}},
  };
  for (const auto& [name, expected] : others) {
    const Decoded frame = DecodeOne(take(name.c_str()));
    CHECK(frame.type == expected.first && frame.payload == expected.second);
    CHECK(frame.stream == (name.rfind("signal", 0) == 0 ? 2u : 1u));
  }
}

PayloadWriter EncodedMetrics() {
  SystemMetrics metrics;
  metrics.uptime_ms = 1;
  for (uint32_t i = 0; i < 3; i++) metrics.load[i] = 2 + i;
  metrics.processes = 5;
  metrics.threads = 6;
  metrics.cpus = 7;
  metrics.cpu_user_us = 8;
  metrics.cpu_system_us = 9;
  metrics.cpu_idle_us = 10;
  metrics.memory_total = 11;
  metrics.memory_free = 12;
  metrics.memory_available = 13;
  metrics.swap_total = 14;
  metrics.swap_free = 15;
  metrics.file_systems = {{"/", "ext4", 16, 17, 18}};
  metrics.disks = {{"vda", 19, 20, 21, 22}};
  PayloadWriter out;
  WriteSystemMetrics(metrics, &out);
  return out;
}

void SaysWhatTheHostReads(std::map<std::string, std::string>* vectors) {
  const auto matches = [&](const char* name, FrameType type, const PayloadWriter& payload) {
    const auto node = vectors->extract(name);
    CHECK(!node.empty());
    Outbox outbox;
    outbox.Send(type, 1, payload.bytes());
    const ByteQueue& queue = outbox.queue();
    return node.mapped() == std::string(queue.data(), queue.data() + queue.size());
  };
  CHECK(matches("opened-exec", FrameType::kOpened, PayloadWriter().U32(4711)));
  CHECK(matches("opened-attach", FrameType::kOpened,
                PayloadWriter().U32(4711).U8(19).U64(77).U32(65536).U64(1500).U64(2)));
  CHECK(matches("ended-exec-detached", FrameType::kEnded, PayloadWriter().U8(2).U8(0)));
  PayloadWriter commands;
  commands.U32(130).U16(2);
  commands.U64(kId).U32(4711).U8(0).U8(0).U8(5).U64(1700000000000000);
  commands.U64(1).U64(262145).U64(0).U64(0).Text("sh -c date", 64);
  commands.U64(~kId).U32(0).U8(2).U8(9).U8(8).U64(1700000000000000);
  commands.U64(0).U64(3).U64(0).U64(4).Text("cat", 64);
  CHECK(matches("commands", FrameType::kCommands, commands));
  CHECK(matches("opened-connect", FrameType::kOpened, PayloadWriter()));
  CHECK(matches("end-to-host", FrameType::kEndToHost, PayloadWriter()));
  CHECK(matches("ended-connect-closed", FrameType::kEnded, PayloadWriter().U8(0)));
  CHECK(matches("ended-connect-reset", FrameType::kEnded, PayloadWriter().U8(1)));
  CHECK(matches("data-1", FrameType::kData1, PayloadWriter().Raw("out", 3)));
  CHECK(matches("data-2", FrameType::kData2, PayloadWriter().Raw("err", 3)));
  CHECK(matches("credit-to-host", FrameType::kCreditToHost, PayloadWriter().U8(0).U32(16384)));
  CHECK(matches("gone", FrameType::kGone, PayloadWriter()));
  CHECK(matches("ended-exec-code", FrameType::kEnded, PayloadWriter().U8(0).U8(3)));
  CHECK(matches("ended-exec-signal", FrameType::kEnded, PayloadWriter().U8(1).U8(9)));
  CHECK(matches("metrics-answer", FrameType::kMetricsAnswer, EncodedMetrics()));
  const auto failed = SaidByWorker([](FileChannel* channel) {
    return channel->Answer({ENOENT, "open", "/b"});
  });
  CHECK(matches("file-failed", FrameType::kData1, PayloadWriter().Raw(failed.data(), failed.size())));
  const auto done = SaidByWorker([](FileChannel* channel) { return channel->Answer({}); });
  CHECK(matches("file-done", FrameType::kData1, PayloadWriter().Raw(done.data(), done.size())));
  const auto content = SaidByWorker([](FileChannel* channel) {
    std::memcpy(channel->DataSpace(), "text", 4);
    return channel->SendData(4);
  });
  CHECK(matches("file-data", FrameType::kData1, PayloadWriter().Raw(content.data(), content.size())));
  CHECK(matches("failed", FrameType::kFailed, PayloadWriter().Text("ENOENT", 32).Text("user", 64)));
}

}  // namespace

int main() {
  std::map<std::string, std::string> vectors = ReadVectors();
  ReadsWhatTheHostSends(&vectors);
  SaysWhatTheHostReads(&vectors);
  // A vector that is not looked at proves nothing.
  CHECK(vectors.empty());
}
