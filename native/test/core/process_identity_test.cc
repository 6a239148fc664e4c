#include "core/process_identity.h"

#include <unistd.h>

#include "check.h"

using namespace microvm::core;

namespace {

std::string StatLine(const std::string& command) {
  std::string line = "7 (" + command + ") Z 1";
  for (int field = 5; field <= 52; ++field) line += " " + std::to_string(field * 100);
  return line + "\n";
}

}  // namespace

TEST(finds_the_fields_whatever_the_command_is_called) {
  for (const char* command : {"sh", "a b", ") (", ") Z 1 2 3 (", "((", "", "\n)"}) {
    const auto stat = ParseProcessStat(StatLine(command));
    CHECK(stat.has_value());
    CHECK(stat->state == 'Z');
    CHECK(stat->start_time == "2200");
    CHECK(stat->exit_status == 5200);
  }
}

TEST(refuses_what_is_no_stat) {
  for (const char* text : {"", "7", "7 (sh", "7 (sh) ", "7 (sh) R 1 2 3"}) CHECK(!ParseProcessStat(text));
}

TEST(identifies_living_processes_only) {
  auto self = IdentifyProcess(getpid());
  CHECK(self.Ok() && self.Value());
  CHECK(self.Value()->pid == getpid());
  CHECK(!self.Value()->start_time.empty());
  CHECK(self.Value()->boot_id.size() == 36);
  auto none = IdentifyProcess(4194304 + 1);
  CHECK(none.Ok() && !none.Value());
}

RUN_TESTS()
