#include "core/directory_lock.h"

#include "check.h"

using namespace microvm::core;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

bool IsHeld(const LockOutcome& outcome) { return std::holds_alternative<UniqueFd>(outcome); }

}  // namespace

TEST(a_second_lock_fails_and_names_the_holder) {
  const TemporaryFolder folder;
  auto first = LockDirectory(folder.Path());
  CHECK(first.Ok() && IsHeld(first.Value()));
  auto second = LockDirectory(folder.Path());
  CHECK(second.Ok() && !IsHeld(second.Value()));
  const auto* holder = std::get_if<LockHolder>(&second.Value());
  CHECK(holder->pid == getpid());
  CHECK(holder->start_time == IdentifyProcess(getpid()).Value()->start_time);
}

TEST(closing_the_descriptor_frees_it) {
  const TemporaryFolder folder;
  { CHECK(IsHeld(LockDirectory(folder.Path()).Value())); }
  CHECK(IsHeld(LockDirectory(folder.Path()).Value()));
}

TEST(a_damaged_lock_file_is_no_obstacle) {
  for (const char* text :
       {"", "{", "{\"pid\":", "{\"pid\":\"x\",\"startTime\":5}", "\xff\xfe", "{\"pid\":-4}"}) {
    const TemporaryFolder folder;
    auto held = LockDirectory(folder.Path());
    WriteText(folder / "lock", text);
    auto second = LockDirectory(folder.Path());
    CHECK(second.Ok() && !IsHeld(second.Value()));
    CHECK(!std::get_if<LockHolder>(&second.Value())->pid);
  }
}

TEST(a_lock_file_that_is_a_link_is_refused) {
  const TemporaryFolder folder;
  CHECK(symlink("/tmp/microvm-native-elsewhere", (folder / "lock").c_str()) == 0);
  auto lock = LockDirectory(folder.Path());
  CHECK(!lock.Ok() && lock.Error().number == ELOOP);
  CHECK(!microvm::test::Exists("/tmp/microvm-native-elsewhere"));
}

TEST(a_missing_directory_is_an_error_with_its_path) {
  auto lock = LockDirectory("/no/such");
  CHECK(!lock.Ok() && lock.Error().number == ENOENT && lock.Error().path == "/no/such/lock");
}

RUN_TESTS()
