#include "exec_request.h"

#include <sys/resource.h>

#include <algorithm>

#include "protocol.h"

namespace microvm::agent {
namespace {

constexpr int kResources[kMaxLimits] = {RLIMIT_CPU, RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC};

bool DecodeLimits(PayloadReader* in, SpawnRequest* request) {
  const uint8_t count = in->U8();
  uint8_t last = 0;
  for (int i = 0; i < count; i++) {
    const uint8_t resource = in->U8();
    const uint64_t value = in->U64();
    // In rising order, so that none comes twice.
    if (!in->ok() || resource <= last || resource > kMaxLimits) return false;
    last = resource;
    request->limits.push_back({kResources[resource - 1], value});
  }
  return true;
}

bool DecodeTerminal(PayloadReader* in, SpawnRequest* request) {
  const uint8_t has_terminal = in->U8();
  if (has_terminal == 0) return true;
  Terminal terminal;
  terminal.columns = in->U16();
  terminal.rows = in->U16();
  terminal.term = in->Text(kMaxTerm);
  if (!in->ok() || has_terminal != 1 || terminal.columns == 0 || terminal.rows == 0) return false;
  request->terminal = std::move(terminal);
  return true;
}

bool DecodeSecretVariables(PayloadReader* in, SpawnRequest* request) {
  const uint16_t count = in->U16();
  if (count > kMaxSecrets) return false;
  for (int i = 0; i < count && in->ok(); i++) {
    SecretVariable variable;
    variable.name = in->Text(kMaxOpenBody);
    variable.secret = in->Text(kMaxOpenBody);
    if (variable.name.empty() || variable.name.find('=') != std::string::npos) return false;
    request->secrets.push_back(std::move(variable));
  }
  return in->ok();
}

}  // namespace

bool DecodeStrings(PayloadReader* in, std::vector<std::string>* strings) {
  const uint16_t count = in->U16();
  if (count > kMaxExecStrings) return false;
  for (int i = 0; i < count && in->ok(); i++) strings->emplace_back(in->Text(kMaxMessage));
  return in->ok();
}

bool DecodeEnvironment(PayloadReader* in, std::vector<std::string>* env) {
  if (!DecodeStrings(in, env)) return false;
  return std::all_of(env->begin(), env->end(), [](const std::string& entry) {
    const size_t equals = entry.find('=');
    return equals != 0 && equals != std::string::npos;
  });
}

bool DecodeExec(PayloadReader* in, SpawnRequest* request) {
  request->id = in->U64();
  const uint8_t flags = in->U8();
  if (request->id == 0 || (flags & ~kDetached) != 0) return false;
  request->detached = (flags & kDetached) != 0;
  if (!DecodeStrings(in, &request->argv)) return false;
  if (!DecodeEnvironment(in, &request->env)) return false;
  request->cwd = in->Text(kMaxOpenBody);
  request->user = in->Text(kMaxUser);
  if (!DecodeLimits(in, request) || !DecodeTerminal(in, request) || !DecodeSecretVariables(in, request))
    return false;
  return in->Done() && (request->cwd.empty() || request->cwd[0] == '/');
}

}  // namespace microvm::agent
