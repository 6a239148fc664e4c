#include "exec_request.h"

#include <sys/resource.h>

#include <functional>

#include "check.h"
#include "protocol.h"

namespace {

using namespace microvm::agent;

// A request with everything; `change` may write other fields behind the program.
Bytes Encode(const std::function<void(PayloadWriter*)>& behind_cwd) {
  PayloadWriter out;
  out.U64(7).U8(0).U16(2).Text("sh", 64).Text("-i", 64).U16(1).Text("A=1", 64).Text("/srv", 64);
  behind_cwd(&out);
  return out.bytes();
}

bool Decode(const Bytes& bytes, SpawnRequest* request) {
  *request = {};
  PayloadReader in(bytes.data(), bytes.size());
  return DecodeExec(&in, request);
}

void DecodesEverything() {
  SpawnRequest request;
  CHECK(Decode(Encode([](PayloadWriter* out) {
                 out->Text("me:wheel", 64).U8(2).U8(1).U64(7).U8(4).U64(1ull << 40);
                 out->U8(1).U16(80).U16(24).Text("vt100", 64);
                 out->U16(1).Text("TOKEN", 64).Text("registry", 64);
               }),
               &request));
  CHECK((request.argv == std::vector<std::string>{"sh", "-i"}) && request.env.size() == 1);
  CHECK(request.cwd == "/srv" && request.user == "me:wheel" && request.limits.size() == 2);
  CHECK(request.limits[0].resource == RLIMIT_CPU && request.limits[0].value == 7);
  CHECK(request.limits[1].resource == RLIMIT_NOFILE && request.limits[1].value == 1ull << 40);
  CHECK(request.terminal && request.terminal->columns == 80 && request.terminal->rows == 24);
  CHECK(request.terminal->term == "vt100");
  CHECK(request.secrets.size() == 1 && request.secrets[0].name == "TOKEN");
  CHECK(request.secrets[0].secret == "registry");
}

void RefusesWhatIsWrong() {
  SpawnRequest request;
  const auto refused_as_is = [&](const std::function<void(PayloadWriter*)>& behind) {
    return !Decode(Encode(behind), &request);
  };
  const auto refused = [&](const std::function<void(PayloadWriter*)>& behind) {
    return refused_as_is([&](PayloadWriter* out) {
      behind(out);
      out->U16(0);  // no secrets
    });
  };
  CHECK(!refused([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(0); }));
  CHECK(refused([](PayloadWriter* out) { out->Text(std::string(kMaxUser + 1, 'x'), 999).U8(0).U8(0); }));
  // Twice, out of order, unknown, too few.
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(2).U8(1).U64(7).U8(1).U64(7).U8(0); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(2).U8(2).U64(7).U8(1).U64(7).U8(0); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(1).U8(6).U64(7).U8(0); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(1).U8(0).U64(7).U8(0); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(255).U8(1).U64(7); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(2).U16(1).U16(1).Text("", 1); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(1).U16(0).U16(24).Text("", 1); }));
  CHECK(refused([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(1).U16(80).U16(0).Text("", 1); }));
  CHECK(refused([](PayloadWriter* out) {
    out->Text("", 1).U8(0).U8(1).U16(80).U16(24).Text(std::string(kMaxTerm + 1, 'x'), 999);
  }));
  CHECK(refused_as_is([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(0); }));
  CHECK(refused_as_is([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(0).U16(0).U8(0); }));
  CHECK(refused_as_is([](PayloadWriter* out) { out->Text("", 1).U8(0).U8(0).U16(65); }));
  CHECK(refused_as_is(
      [](PayloadWriter* out) { out->Text("", 1).U8(0).U8(0).U16(1).Text("A=B", 64).Text("registry", 64); }));
}

}  // namespace

int main() {
  DecodesEverything();
  RefusesWhatIsWrong();
}
