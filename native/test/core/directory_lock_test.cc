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

TEST(a_dead_holder_is_not_named) {
  const TemporaryFolder folder;
  auto held = LockDirectory(folder.Path());
  const ProcessIdentity self = *IdentifyProcess(getpid()).Value();
  for (const ProcessIdentity& other : {ProcessIdentity{self.pid, "1", self.boot_id},
                                       ProcessIdentity{4194304 + 1, self.start_time, self.boot_id},
                                       ProcessIdentity{self.pid, self.start_time, "another"}}) {
    WriteText(folder / "lock", "{\"pid\":" + std::to_string(other.pid) + ",\"startTime\":\"" +
                                   other.start_time + "\",\"bootId\":\"" + other.boot_id + "\"}\n");
    auto second = LockDirectory(folder.Path());
    CHECK(!std::get_if<LockHolder>(&second.Value())->pid);
  }
}

TEST(letting_go_leaves_no_name) {
  const TemporaryFolder folder;
  auto held = LockDirectory(folder.Path());
  CHECK(!ReadText(folder / "lock").empty());
  UnlockDirectory(std::move(*std::get_if<UniqueFd>(&held.Value())));
  CHECK(ReadText(folder / "lock").empty());
  CHECK(IsHeld(LockDirectory(folder.Path()).Value()));
}

RUN_TESTS()
