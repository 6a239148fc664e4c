#include "stream_opener.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "connection.h"
#include "exec_request.h"
#include "file_worker.h"
#include "listener.h"

namespace microvm::agent {

const char* StreamOpener::Open(uint32_t stream, const Bytes& body) {
  PayloadReader in(body.data(), body.size());
  switch (static_cast<StreamKind>(in.U8())) {
    case StreamKind::kExec: {
      SpawnRequest request;
      if (!DecodeExec(&in, &request)) return "bad OPEN of a command";
      StartWithSecrets(stream, &request);
      return nullptr;
    }
    case StreamKind::kFiles: {
      SpawnRequest request;
      request.user = in.Text(kMaxUser);
      request.cwd = "/";
      request.run = RunFileWorker;
      if (!in.Done()) return "bad OPEN of a file worker";
      StartExec(stream, request);
      return nullptr;
    }
    case StreamKind::kAttach: {
      AttachRequest request;
      if (!DecodeAttach(&in, &request)) return "bad OPEN of an attachment";
      AttachReader(stream, request);
      return nullptr;
    }
    case StreamKind::kConnect: {
      ConnectRequest request;
      if (!DecodeConnect(&in, &request)) return "bad OPEN of a connection";
      StartConnection(stream, request);
      return nullptr;
    }
    case StreamKind::kListen: {
      ConnectRequest address;
      uint16_t mode = 0;
      if (!DecodeListen(&in, &address, &mode)) return "bad OPEN of a listener";
      StartListener(stream, address, mode);
      return nullptr;
    }
    case StreamKind::kAccept: {
      const uint32_t listener = in.U32();
      const uint32_t number = in.U32();
      if (!in.Done()) return "bad OPEN of an accepted connection";
      AcceptConnection(stream, listener, number);
      return nullptr;
    }
    default:
      return "OPEN of an unknown kind";
  }
}

bool StreamOpener::MayOpen(uint32_t stream) {
  if (power_->begun()) {
    outbox_->Fail(stream, ESHUTDOWN, "shutdown");
  } else if (freezer_->frozen()) {
    outbox_->Fail(stream, EBUSY, "frozen");
  } else {
    return true;
  }
  return false;
}

void StreamOpener::AttachReader(uint32_t stream, const AttachRequest& request) {
  if (!MayOpen(stream)) return;
  if (const int error = commands_->Attach(stream, request); error != 0) {
    outbox_->Fail(stream, error, "attach");
  }
}

void StreamOpener::Start(uint32_t stream, const char* step, const std::function<int()>& make) {
  if (!MayOpen(stream)) return;
  if (const int error = streams_->CheckRoom(); error != 0) {
    outbox_->Fail(stream, error, "start");
  } else if (const int failed = make(); failed != 0) {
    outbox_->Fail(stream, failed, step);
  }
}

void StreamOpener::StartConnection(uint32_t stream, const ConnectRequest& request) {
  Start(stream, "connect", [&] {
    UniqueFd socket;
    UniqueFd copy;
    const int error = OpenConnection(request, &socket, &copy);
    return error == 0 ? AddConnection(stream, std::move(socket), std::move(copy)) : error;
  });
}

void StreamOpener::AcceptConnection(uint32_t stream, uint32_t listener, uint32_t number) {
  Start(stream, "accept", [&] {
    StreamHandler* handler = streams_->ByStream(listener);
    UniqueFd socket = handler == nullptr ? UniqueFd() : handler->TakeWaiting(number);
    UniqueFd copy;
    const int error = socket ? DuplicateSocket(socket, &copy) : ENOENT;
    return error == 0 ? AddConnection(stream, std::move(socket), std::move(copy)) : error;
  });
}

int StreamOpener::AddConnection(uint32_t stream, UniqueFd socket, UniqueFd copy) {
  auto connection =
      std::make_unique<Connection>(stream, std::move(socket), std::move(copy), output_window_, outbox_);
  return streams_->Add(std::move(connection)) == 0 ? errno : 0;
}

void StreamOpener::StartListener(uint32_t stream, const ConnectRequest& address, uint16_t mode) {
  Start(stream, "listen", [&] {
    Listener::Parts parts;
    if (const int error = OpenListener(address, mode, &parts); error != 0) return error;
    auto listener = std::make_unique<Listener>(stream, std::move(parts), output_window_, outbox_);
    Stream& opened = listener->stream();
    if (streams_->Add(std::move(listener)) == 0) return errno;
    opened.Open({});
    return 0;
  });
}

void StreamOpener::StartWithSecrets(uint32_t stream, SpawnRequest* request) {
  if (!CompleteRequest(commands_->image(), request)) {
    outbox_->Fail(stream, EINVAL, SpawnStepName(kSpawnArgv));
    return;
  }
  const size_t others = request->env.size();
  // Without a move of what is in it, which would leave copies behind.
  request->env.reserve(others + request->secrets.size());
  int error = 0;
  for (const SecretVariable& variable : request->secrets) {
    std::string& entry = request->env.emplace_back();
    entry.reserve(variable.name.size() + 1 + kMaxSecret);
    entry.append(variable.name).append("=");
    error = secrets_->Read(variable.secret, &entry);
    if (error != 0) break;
  }
  if (error == 0) {
    StartExec(stream, *request);
  } else {
    outbox_->Fail(stream, error, "secrets");
  }
  for (size_t i = others; i < request->env.size(); i++)
    explicit_bzero(request->env[i].data(), request->env[i].size());
}

void StreamOpener::StartExec(uint32_t stream, const SpawnRequest& request) {
  if (!MayOpen(stream)) return;
  if (const SpawnFailure failure = commands_->Start(stream, request, freezer_->cgroup(), output_window_);
      failure.error != 0) {
    outbox_->Fail(stream, failure.error, SpawnStepName(failure.step));
  }
}

}  // namespace microvm::agent
