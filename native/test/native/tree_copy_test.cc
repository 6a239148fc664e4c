#include "core/tree_copy.h"

#include <dirent.h>
#include <sys/stat.h>

#include "check.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

Result<CopiedTree> Copy(const TemporaryFolder& folder, bool durable = false) {
  return CopyTree({folder / "from", folder / "to", durable, false}, Cancellation(), {});
}

void MakeSource(const TemporaryFolder& folder) {
  for (const char* name : {"from", "from/d", "from/d/e"}) mkdir((folder / name).c_str(), 0750);
  WriteText(folder / "from/a", "a");
  WriteText(folder / "from/d/b", "bb");
  WriteText(folder / "from/d/e/c", "");
  CHECK(chmod((folder / "from/a").c_str(), 0444) == 0 && chmod((folder / "from/d").c_str(), 0500) == 0);
}

size_t Entries(const std::string& path) {
  size_t count = 0;
  DIR* directory = opendir(path.c_str());
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count - 2;
}

unsigned ModeOf(const std::string& path) {
  struct stat status {};
  CHECK(stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST(copies_files_folders_and_modes) {
  for (const bool durable : {false, true}) {
    const TemporaryFolder folder;
    MakeSource(folder);
    auto copied = Copy(folder, durable);
    CHECK(copied.Ok() && copied.Value().folders == 3 && copied.Value().files.size() == 3);
    uint64_t bytes = 0;
    for (const auto& file : copied.Value().files) bytes += file.outcome.size_bytes;
    CHECK(bytes == 3);
    CHECK(ReadText(folder / "to/a") == "a" && ReadText(folder / "to/d/b") == "bb");
    CHECK(ReadText(folder / "to/d/e/c").empty());
    CHECK(ModeOf(folder / "to/a") == 0444 && ModeOf(folder / "to/d") == 0500);
    CHECK(ModeOf(folder / "to") == 0750 && Entries(folder.Path()) == 2);
  }
}

TEST(an_empty_folder_is_a_tree) {
  const TemporaryFolder folder;
  mkdir((folder / "from").c_str(), 0700);
  auto copied = Copy(folder);
  CHECK(copied.Ok() && copied.Value().folders == 1 && copied.Value().files.empty() && Exists(folder / "to"));
}

TEST(replaces_nothing) {
  const TemporaryFolder folder;
  MakeSource(folder);
  mkdir((folder / "to").c_str(), 0700);
  CHECK(Copy(folder).Error().number == EEXIST);
  CHECK(Entries(folder / "to") == 0 && Entries(folder.Path()) == 2);
}

TEST(a_failure_leaves_nothing) {
  const auto failure = [](const auto& spoil) {
    const TemporaryFolder folder;
    MakeSource(folder);
    spoil(folder);
    auto copied = Copy(folder);
    CHECK(Entries(folder.Path()) == 1);
    return copied.Ok() ? 0 : copied.Error().number;
  };
  CHECK(failure([](const TemporaryFolder& f) { CHECK(symlink("a", (f / "from/link").c_str()) == 0); }) ==
        ELOOP);
  CHECK(failure([](const TemporaryFolder& f) { CHECK(mkfifo((f / "from/d/e/fifo").c_str(), 0600) == 0); }) ==
        EINVAL);
  const TemporaryFolder folder;
  CHECK(Copy(folder).Error().number == ENOENT && Entries(folder.Path()) == 0);
  WriteText(folder / "from", "");
  CHECK(Copy(folder).Error().number == ENOTDIR && Entries(folder.Path()) == 1);
}

TEST(a_cancelled_copy_leaves_nothing) {
  const TemporaryFolder folder;
  MakeSource(folder);
  for (int i = 0; i < 3; ++i) WriteText(folder / ("from/big" + std::to_string(i)), std::string(9 << 20, 'x'));
  Cancellation cancellation;
  const auto cancel = [&](uint64_t done, uint64_t total) {
    CHECK(done <= total);
    cancellation.Cancel();
  };
  auto copied = CopyTree({folder / "from", folder / "to", false, true}, cancellation, cancel);
  CHECK(!copied.Ok() && copied.Error().number == ECANCELED && Entries(folder.Path()) == 1);
}

RUN_TESTS()
