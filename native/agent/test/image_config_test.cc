#include "image_config.h"

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "check.h"
#include "protocol.h"

namespace {

using namespace microvm::agent;
using Strings = std::vector<std::string>;

// A config with everything; `change` may take another field in the place of one.
struct Fields {
  Strings env{"A=1", "EMPTY="};
  std::string working_dir = "/srv";
  std::string user = "me:wheel";
  Strings entrypoint{"/bin/start"};
  Strings cmd{"-v", ""};
  uint8_t stop_signal = 3;
  bool has_surplus = false;
};

void WriteStrings(const Strings& strings, PayloadWriter* out) {
  out->U16(static_cast<uint16_t>(strings.size()));
  for (const std::string& text : strings) out->Text(text, text.size());
}

bool Decode(const Fields& fields, ImageConfig* config) {
  PayloadWriter out;
  WriteStrings(fields.env, &out);
  out.Text(fields.working_dir, fields.working_dir.size()).Text(fields.user, fields.user.size());
  WriteStrings(fields.entrypoint, &out);
  WriteStrings(fields.cmd, &out);
  out.U8(fields.stop_signal);
  if (fields.has_surplus) out.U8(0);
  *config = {};
  PayloadReader in(out.bytes().data(), out.bytes().size());
  return DecodeImageConfig(&in, config);
}

void DecodesEverything() {
  ImageConfig config;
  CHECK(Decode({}, &config));
  CHECK((config.env == Strings{"A=1", "EMPTY="}) && config.working_dir == "/srv");
  CHECK(config.user == "me:wheel" && config.stop_signal == 3);
  CHECK((config.entrypoint == Strings{"/bin/start"}) && (config.cmd == Strings{"-v", ""}));
}

void RefusesWhatIsOutOfBounds() {
  const auto decodes = [](const std::function<void(Fields*)>& change) {
    Fields fields;
    change(&fields);
    ImageConfig config;
    return Decode(fields, &config);
  };
  CHECK(decodes([](Fields* f) { f->stop_signal = 64; }));
  CHECK(!decodes([](Fields* f) { f->stop_signal = 65; }));
  CHECK(decodes([](Fields* f) { f->working_dir.clear(); }));
  CHECK(!decodes([](Fields* f) { f->working_dir = "srv"; }));
  CHECK(!decodes([](Fields* f) { f->env.push_back("=x"); }));
  CHECK(!decodes([](Fields* f) { f->env.push_back("without"); }));
  CHECK(decodes([](Fields* f) { f->user = std::string(kMaxUser, 'x'); }));
  CHECK(!decodes([](Fields* f) { f->user = std::string(kMaxUser + 1, 'x'); }));
  CHECK(!decodes([](Fields* f) { f->cmd.push_back(std::string("a\0b", 3)); }));
  CHECK(decodes([](Fields* f) { f->cmd = Strings(kMaxExecStrings, "x"); }));
  CHECK(!decodes([](Fields* f) { f->cmd = Strings(kMaxExecStrings + 1, "x"); }));
  CHECK(!decodes([](Fields* f) { f->has_surplus = true; }));
}

void GivesWhatARequestLeavesToIt() {
  ImageConfig config;
  CHECK(Decode({}, &config));
  SpawnRequest request;
  CHECK(CompleteRequest(config, &request));
  CHECK((request.argv == Strings{"/bin/start", "-v", ""}) && request.is_main);
  CHECK(request.cwd == "/srv" && request.makes_cwd && request.user == "me:wheel" && request.is_image_user);
}

void LeavesAloneWhatARequestHas() {
  ImageConfig config;
  CHECK(Decode({}, &config));
  SpawnRequest request;
  request.argv = {"true"};
  request.cwd = "/tmp";
  request.user = "0";
  CHECK(CompleteRequest(config, &request));
  CHECK((request.argv == Strings{"true"}) && !request.is_main);
  CHECK(request.cwd == "/tmp" && !request.makes_cwd && request.user == "0" && !request.is_image_user);
}

void NeedsAProgramFromOneOfThem() {
  SpawnRequest request;
  CHECK(!CompleteRequest({}, &request));
  request = {};
  request.argv = {"true"};
  CHECK(CompleteRequest({}, &request) && request.cwd == "/" && request.user.empty());
}

}  // namespace

int main() {
  DecodesEverything();
  RefusesWhatIsOutOfBounds();
  GivesWhatARequestLeavesToIt();
  LeavesAloneWhatARequestHas();
  NeedsAProgramFromOneOfThem();
  std::puts("image config: ok");
}
