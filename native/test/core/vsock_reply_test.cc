#include "core/wait/vsock_reply.h"

#include "check.h"

using namespace microvm::core;
using State = VsockReply::State;

namespace {

struct Outcome {
  State state;
  size_t taken;
};

Outcome InOnePiece(std::string_view bytes) {
  VsockReply reply;
  const size_t taken = reply.Consume(bytes);
  return {reply.GetState(), taken};
}

bool Is(std::string_view bytes, State state, size_t taken) {
  const Outcome outcome = InOnePiece(bytes);
  return outcome.state == state && outcome.taken == taken;
}

}  // namespace

TEST(takes_the_answer_and_nothing_behind_it) {
  VsockReply reply;
  CHECK(reply.Consume("OK 1073741824\nOK 5\n") == 14);
  CHECK(reply.GetState() == State::kComplete && reply.HostPort() == 1073741824);
  CHECK(reply.Consume("OK 5\n") == 0);
  CHECK(reply.GetState() == State::kComplete && reply.HostPort() == 1073741824);
  CHECK(Is("OK 0\n", State::kComplete, 5));
  CHECK(Is("OK 4294967295\n\n", State::kComplete, VsockReply::kMaxBytes));
}

TEST(waits_for_the_rest_wherever_it_is_cut) {
  const std::string_view whole = "OK 4294967295\nguest";
  for (size_t first = 0; first < VsockReply::kMaxBytes; ++first) {
    VsockReply reply;
    CHECK(reply.Consume(whole.substr(0, first)) == first && reply.GetState() == State::kPartial);
    CHECK(reply.Consume(whole.substr(first)) == VsockReply::kMaxBytes - first);
    CHECK(reply.GetState() == State::kComplete && reply.HostPort() == 4294967295);
  }
}

TEST(refuses_everything_else_at_the_byte_that_is_wrong) {
  CHECK(Is("", State::kPartial, 0));
  CHECK(Is("KO", State::kMalformed, 0));
  CHECK(Is("OK\n", State::kMalformed, 2));
  CHECK(Is("OK \n", State::kMalformed, 3));
  CHECK(Is("OK  1\n", State::kMalformed, 3));
  CHECK(Is("ok 1\n", State::kMalformed, 0));
  CHECK(Is("OK -1\n", State::kMalformed, 3));
  CHECK(Is("OK 1 \n", State::kMalformed, 4));
  CHECK(Is("OK 1\r\n", State::kMalformed, 4));
  CHECK(Is("OK 01\n", State::kMalformed, 4));
  CHECK(Is("OK 4294967296\n", State::kMalformed, 12));
  CHECK(Is("OK 99999999999999999999", State::kMalformed, 12));
  CHECK(Is(std::string_view("OK 1\0\n", 6), State::kMalformed, 4));
  CHECK(Is("OK \xb1\n", State::kMalformed, 3));
}

TEST(stays_malformed) {
  VsockReply reply;
  CHECK(reply.Consume("OX") == 1 && reply.GetState() == State::kMalformed);
  CHECK(reply.Consume("OK 1\n") == 0 && reply.GetState() == State::kMalformed);
}

RUN_TESTS()
