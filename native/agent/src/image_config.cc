#include "image_config.h"

#include "exec_request.h"
#include "protocol.h"

namespace microvm::agent {

bool DecodeImageConfig(PayloadReader* in, ImageConfig* config) {
  if (!DecodeEnvironment(in, &config->env)) return false;
  config->working_dir = in->Text(kMaxMessage);
  config->user = in->Text(kMaxUser);
  if (!DecodeStrings(in, &config->entrypoint) || !DecodeStrings(in, &config->cmd)) return false;
  config->stop_signal = in->U8();
  return in->Done() && config->stop_signal <= 64 &&
         (config->working_dir.empty() || config->working_dir[0] == '/');
}

bool CompleteRequest(const ImageConfig& config, SpawnRequest* request) {
  if (request->argv.empty()) {
    request->argv = config.entrypoint;
    request->argv.insert(request->argv.end(), config.cmd.begin(), config.cmd.end());
    request->is_main = true;
  }
  if (request->argv.empty()) return false;
  if (request->cwd.empty()) {
    request->cwd = config.working_dir.empty() ? "/" : config.working_dir;
    request->makes_cwd = true;
  }
  if (request->user.empty()) {
    request->user = config.user;
    request->is_image_user = true;
  }
  return true;
}

}  // namespace microvm::agent
