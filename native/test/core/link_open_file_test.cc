#include "core/link_open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "core/file_io.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

struct Fixture {
  Fixture() {
    WriteText(folder / "file", "content");
    directory = std::move(OpenDirectory(folder / ".").Value());
  }

  TemporaryFolder folder;
  UniqueFd directory;
};

}  // namespace

TEST(links_the_open_file_whatever_its_path_names_by_now) {
  Fixture fixture;
  auto file = OpenFile(fixture.folder / "file", O_RDONLY);
  CHECK(rename((fixture.folder / "file").c_str(), (fixture.folder / "moved").c_str()) == 0);
  WriteText(fixture.folder / "file", "other");
  CHECK(LinkOpenFile(file.Value().Get(), fixture.directory.Get(), "linked").Ok());
  CHECK(ReadText(fixture.folder / "linked") == "content");
}

TEST(replaces_nothing_and_brings_nothing_back) {
  Fixture fixture;
  auto file = OpenFile(fixture.folder / "file", O_RDONLY);
  auto linked = LinkOpenFile(file.Value().Get(), fixture.directory.Get(), "file");
  CHECK(!linked.Ok() && linked.Error().number == EEXIST);
  CHECK(unlink((fixture.folder / "file").c_str()) == 0);
  linked = LinkOpenFile(file.Value().Get(), fixture.directory.Get(), "again");
  CHECK(!linked.Ok() && linked.Error().number == ENOENT);
  CHECK(!Exists(fixture.folder / "again"));
}

TEST(links_without_the_right_to_link_a_descriptor) {
  if (geteuid() != 0) return;
  Fixture fixture;
  CHECK(chmod((fixture.folder / ".").c_str(), 0777) == 0);
  CHECK(chmod((fixture.folder / "file").c_str(), 0666) == 0);
  auto file = OpenFile(fixture.folder / "file", O_RDONLY);
  // Has no capabilities then, and is not who opened it.
  CHECK(seteuid(54321) == 0);
  CHECK(linkat(file.Value().Get(), "", fixture.directory.Get(), "refused", AT_EMPTY_PATH) != 0);
  const auto linked = LinkOpenFile(file.Value().Get(), fixture.directory.Get(), "linked");
  CHECK(seteuid(0) == 0);
  CHECK(linked.Ok());
  CHECK(ReadText(fixture.folder / "linked") == "content");
}

RUN_TESTS()
