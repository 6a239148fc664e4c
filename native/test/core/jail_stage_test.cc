#include "core/jail_stage.h"

#include <sys/stat.h>

#include "check.h"
#include "core/root_directory.h"
#include "refuse_syscall.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

struct stat StatOf(const std::string& path) {
  struct stat status {};
  CHECK(lstat(path.c_str(), &status) == 0);
  return status;
}

bool IsRoot() { return geteuid() == 0; }

class JailFixture {
 public:
  JailFixture() {
    WriteText(folder_ / "kernel", "kernel");
    CHECK(chmod((folder_ / "kernel").c_str(), 0444) == 0);
    WriteText(folder_ / "template", "template");
    WriteText(folder_ / "own", "own");
    plan.root = folder_ / "id/root";
    plan.uid = IsRoot() ? 54321 : geteuid();
    plan.gid = IsRoot() ? 54322 : getegid();
    CHECK(chown((folder_ / "own").c_str(), plan.uid, plan.gid) == 0);
  }

  std::string operator/(const std::string& name) const { return folder_ / name; }
  Result<std::vector<StagedFile>> Stage() const { return StageJail(plan, Cancellation()); }
  // Fails and leaves nothing, as far as this test's folder shows.
  int FailureOf() const {
    auto staged = Stage();
    CHECK(!staged.Ok() && staged.Error().detail.empty());
    CHECK(!Exists(folder_ / "id") && ReadText(folder_ / "own") == "own");
    CHECK(StatOf(folder_ / "kernel").st_nlink == 1 && StatOf(folder_ / "own").st_nlink == 1);
    return staged.Ok() ? 0 : staged.Error().number;
  }
  bool IsTheirs(const std::string& name) const {
    const struct stat status = StatOf(plan.root + "/" + name);
    return status.st_uid == plan.uid && status.st_gid == plan.gid;
  }
  bool IsOurs(const std::string& name) const {
    const struct stat status = StatOf(plan.root + "/" + name);
    return status.st_uid == geteuid() && status.st_gid == getegid();
  }

  JailPlan plan;

 private:
  TemporaryFolder folder_;
};

PrivateFile Own(const std::string& name, PrivateOrigin origin, const std::string& from) {
  PrivateFile file;
  file.name = name;
  file.origin = origin;
  file.from = from;
  return file;
}

}  // namespace

TEST(each_file_comes_as_it_should) {
  JailFixture fixture;
  fixture.plan.folders = {{"d", false, 0755}, {"d/own", true, 0700}};
  fixture.plan.shared = {{"kernel", fixture / "kernel"}, {"d/base", fixture / "template"}};
  fixture.plan.privates = {Own("d/disk", PrivateOrigin::kCopy, fixture / "template"),
                           Own("d/own/link", PrivateOrigin::kLink, fixture / "own"),
                           Own("log", PrivateOrigin::kEmpty, "")};
  auto staged = fixture.Stage();
  CHECK(staged.Ok() && staged.Value().size() == 5);
  CHECK(staged.Value()[0].arrival == Arrival::kLink && staged.Value()[0].size_bytes == 6);
  CHECK(staged.Value()[1].arrival == Arrival::kCopy || staged.Value()[1].arrival == Arrival::kReflink);
  CHECK(staged.Value()[3].arrival == Arrival::kLink && staged.Value()[4].arrival == Arrival::kEmpty);
  CHECK(StatOf(fixture.plan.root + "/kernel").st_ino == StatOf(fixture / "kernel").st_ino);
  CHECK(StatOf(fixture.plan.root + "/d/base").st_ino != StatOf(fixture / "template").st_ino);
  CHECK((StatOf(fixture.plan.root + "/d/base").st_mode & 07777) == 0444);
  for (const char* name : {"d", "kernel", "d/base"}) CHECK(fixture.IsOurs(name));
  for (const char* name : {"d/own", "d/disk", "d/own/link", "log"}) CHECK(fixture.IsTheirs(name));
  CHECK(StatOf(fixture / "template").st_uid == geteuid());
}

// The golden image stays golden, whatever its owner and mode are.
TEST(an_input_that_others_could_write_is_never_linked) {
  for (const mode_t mode : {0644, 0664, 0666, 0777, 0600, 04444}) {
    JailFixture fixture;
    CHECK(chmod((fixture / "template").c_str(), mode) == 0);
    fixture.plan.shared = {{"base", fixture / "template"}};
    auto staged = fixture.Stage();
    CHECK(staged.Ok() && staged.Value()[0].arrival != Arrival::kLink);
    CHECK((StatOf(fixture.plan.root + "/base").st_mode & 07777) == 0444 && fixture.IsOurs("base"));
    CHECK((StatOf(fixture / "template").st_mode & 07777) == mode &&
          StatOf(fixture / "template").st_nlink == 1);
  }
  if (!IsRoot()) return;
  JailFixture fixture;
  CHECK(chown((fixture / "kernel").c_str(), 12345, 0) == 0);
  fixture.plan.shared = {{"kernel", fixture / "kernel"}};
  auto staged = fixture.Stage();
  CHECK(staged.Ok() && staged.Value()[0].arrival != Arrival::kLink && fixture.IsOurs("kernel"));
  CHECK(StatOf(fixture / "kernel").st_uid == 12345);
}

TEST(a_private_file_is_moved_or_linked_only_when_it_is_private_already) {
  JailFixture fixture;
  fixture.plan.privates = {Own("disk", PrivateOrigin::kMove, fixture / "own")};
  auto staged = fixture.Stage();
  CHECK(staged.Ok() && staged.Value()[0].arrival == Arrival::kMove);
  CHECK(!Exists(fixture / "own") && ReadText(fixture.plan.root + "/disk") == "own");
  if (!IsRoot()) return;
  for (const PrivateOrigin origin : {PrivateOrigin::kMove, PrivateOrigin::kLink}) {
    JailFixture other;
    other.plan.privates = {Own("disk", origin, other / "template")};
    auto refused = other.Stage();
    CHECK(!refused.Ok() && refused.Error().number == EPERM && refused.Error().detail == "it belongs to 0:0");
    CHECK(!Exists(other / "id") && StatOf(other / "template").st_uid == 0);
  }
}

TEST(a_copy_may_be_larger_than_its_origin_not_smaller) {
  JailFixture fixture;
  PrivateFile disk = Own("disk", PrivateOrigin::kCopy, fixture / "template");
  disk.size_bytes = 1 << 20;
  fixture.plan.privates = {disk};
  CHECK(fixture.Stage().Ok() && StatOf(fixture.plan.root + "/disk").st_size == 1 << 20);
  JailFixture small;
  disk.from = small / "template";
  disk.size_bytes = 3;
  small.plan.privates = {disk};
  CHECK(small.FailureOf() == EFBIG);
}

// Each failure comes after all kinds of things were made, and takes them with it.
TEST(a_failure_leaves_nothing) {
  const auto failure = [](const auto& spoil) {
    JailFixture fixture;
    fixture.plan.folders = {{"d", false, 0755}, {"d/own", true, 0700}};
    fixture.plan.shared = {{"d/kernel", fixture / "kernel"}, {"base", fixture / "template"}};
    fixture.plan.privates = {Own("d/own/disk", PrivateOrigin::kMove, fixture / "own"),
                             Own("d/own/log", PrivateOrigin::kEmpty, "")};
    spoil(fixture);
    return fixture.FailureOf();
  };
  const auto add = [](JailFixture& fixture, const char* name, const std::string& from) {
    fixture.plan.privates.push_back(Own(name, PrivateOrigin::kCopy, from));
  };
  CHECK(failure([&](JailFixture& s) { add(s, "x", s / "none"); }) == ENOENT);
  CHECK(failure([&](JailFixture& s) { add(s, "no/x", s / "kernel"); }) == ENOENT);
  CHECK(failure([&](JailFixture& s) { add(s, "base/x", s / "kernel"); }) == ENOTDIR);
  CHECK(failure([&](JailFixture& s) { add(s, "base", s / "kernel"); }) == EEXIST);
  CHECK(failure([&](JailFixture& s) { add(s, "d", s / "kernel"); }) == EEXIST);
  CHECK(failure([&](JailFixture& s) { add(s, "x", "/dev"); }) == EISDIR);
  CHECK(failure([&](JailFixture& s) { add(s, "x", "/dev/null"); }) == EINVAL);
}

TEST(what_was_there_stays) {
  JailFixture fixture;
  CHECK(mkdir((fixture / "id").c_str(), 0700) == 0 && mkdir(fixture.plan.root.c_str(), 0700) == 0);
  WriteText(fixture.plan.root + "/old", "old");
  fixture.plan.shared = {{"kernel", fixture / "kernel"}};
  fixture.plan.privates = {Own("old", PrivateOrigin::kEmpty, "")};
  auto staged = fixture.Stage();
  CHECK(!staged.Ok() && staged.Error().number == EEXIST && staged.Error().path == fixture.plan.root + "/old");
  CHECK(ReadText(fixture.plan.root + "/old") == "old" && !Exists(fixture.plan.root + "/kernel"));
  fixture.plan.privates.front().name = "new";
  CHECK(fixture.Stage().Ok() && Exists(fixture.plan.root + "/kernel"));
}

TEST(a_link_in_the_root_leads_nowhere) {
  JailFixture fixture;
  CHECK(mkdir((fixture / "id").c_str(), 0700) == 0 && mkdir(fixture.plan.root.c_str(), 0700) == 0);
  CHECK(mkdir((fixture / "outside").c_str(), 0700) == 0);
  CHECK(symlink("../../outside", (fixture.plan.root + "/d").c_str()) == 0);
  CHECK(symlink("../../made", (fixture.plan.root + "/f").c_str()) == 0);
  for (const char* name : {"d/f", "f"}) {
    fixture.plan.privates = {Own(name, PrivateOrigin::kCopy, fixture / "template")};
    CHECK(!fixture.Stage().Ok());
  }
  fixture.plan.privates.clear();
  fixture.plan.folders = {{"d/g", true, 0700}};
  CHECK(!fixture.Stage().Ok());
  CHECK(!Exists(fixture / "made") && !Exists(fixture / "outside/f") && !Exists(fixture / "outside/g"));
}

TEST(a_cancelled_staging_leaves_nothing) {
  JailFixture fixture;
  fixture.plan.shared = {{"kernel", fixture / "kernel"}};
  Cancellation cancellation;
  cancellation.Cancel();
  CHECK(StageJail(fixture.plan, cancellation).Error().number == ECANCELED);
  CHECK(!Exists(fixture / "id"));
}

// Last: the filter stays.
TEST(the_same_where_openat2_is_refused) {
  CHECK(microvm::test::RefuseSyscall(437));
  each_file_comes_as_it_should();
  a_failure_leaves_nothing();
  a_link_in_the_root_leads_nowhere();
}

RUN_TESTS()
