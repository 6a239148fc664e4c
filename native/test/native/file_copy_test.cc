#include "core/file_copy.h"

#include <dirent.h>

#include "check.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

constexpr off_t kMib = 1 << 20;

void WriteAt(const std::string& path, off_t offset, const std::string& data) {
  auto file = OpenFile(path, O_RDWR | O_CREAT, 0640);
  CHECK(pwrite(file.Value().Get(), data.data(), data.size(), offset) == static_cast<ssize_t>(data.size()));
}

struct stat StatOf(const std::string& path) {
  struct stat status {};
  CHECK(stat(path.c_str(), &status) == 0);
  return status;
}

std::string Entries(const std::string& path) {
  std::string names;
  DIR* directory = opendir(path.c_str());
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2) names += std::string(entry->d_name) + " ";
  }
  closedir(directory);
  return names;
}

Result<CopyOutcome> Copy(const CopyRequest& request) { return CopyFile(request, Cancellation(), {}); }

bool IsReflink(Result<CopyOutcome>& copied) { return copied.Value().method == CopyMethod::kReflink; }

}  // namespace

TEST(keeps_content_holes_and_mode) {
  const TemporaryFolder folder;
  const std::string from = folder / "from";
  WriteAt(from, 0, "begin");
  WriteAt(from, 5 * kMib, "middle");
  CHECK(truncate(from.c_str(), 64 * kMib) == 0);
  auto copied = Copy({from, folder / "to", true, false});
  CHECK(copied.Ok() && copied.Value().size_bytes == 64 * kMib);
  CHECK(StatOf(folder / "to").st_size == 64 * kMib);
  CHECK(StatOf(folder / "to").st_blocks < 1024);
  CHECK((StatOf(folder / "to").st_mode & 0777) == 0640);
  CHECK(IsReflink(copied) || copied.Value().data_bytes < static_cast<uint64_t>(kMib));
  CHECK(ReadText(folder / "to") == ReadText(from));
}

TEST(an_empty_file_and_one_that_is_all_hole) {
  const TemporaryFolder folder;
  WriteText(folder / "empty", "");
  CHECK(Copy({folder / "empty", folder / "a", false, false}).Ok());
  CHECK(StatOf(folder / "a").st_size == 0);
  WriteText(folder / "hole", "");
  CHECK(truncate((folder / "hole").c_str(), 10 * kMib) == 0);
  auto copied = Copy({folder / "hole", folder / "b", false, true});
  CHECK(copied.Ok() && copied.Value().data_bytes == 0);
  CHECK(StatOf(folder / "b").st_size == 10 * kMib && StatOf(folder / "b").st_blocks < 64);
}

TEST(turns_zeros_into_holes_when_asked) {
  const TemporaryFolder folder;
  std::string data(3 * kMib + 17, '\0');
  data[0] = 'a';
  data[kMib + 5000] = 'b';
  data.back() = 'c';
  WriteText(folder / "from", data);
  auto copied = Copy({folder / "from", folder / "to", false, true});
  CHECK(copied.Ok());
  CHECK(ReadText(folder / "to") == data);
  CHECK(IsReflink(copied) || copied.Value().data_bytes == 4096 + 4096 + 17);
}

TEST(works_from_one_file_system_to_another) {
  const TemporaryFolder folder;
  if (!Exists("/dev/shm")) return;
  const std::string from = "/dev/shm/microvm-native-" + std::to_string(getpid());
  WriteText(from, std::string(2 * kMib, 'x'));
  CHECK(truncate(from.c_str(), 40 * kMib) == 0);
  auto copied = Copy({from, folder / "to", false, false});
  unlink(from.c_str());
  CHECK(copied.Ok() && copied.Value().data_bytes == 2 * kMib);
  CHECK(StatOf(folder / "to").st_size == 40 * kMib);
}

TEST(replaces_the_target) {
  const TemporaryFolder folder;
  WriteText(folder / "from", "new");
  WriteText(folder / "to", "old and longer");
  CHECK(Copy({folder / "from", folder / "to", true, false}).Ok());
  CHECK(ReadText(folder / "to") == "new");
  CHECK(Entries(folder.Path()).size() == strlen("from to "));
}

TEST(a_failure_leaves_nothing) {
  const TemporaryFolder folder;
  mkdir((folder / "folder").c_str(), 0700);
  WriteText(folder / "from", "x");
  CHECK(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const std::string before = Entries(folder.Path());
  const auto number = [&](const std::string& from, const std::string& to) {
    auto copied = Copy({from, to, false, false});
    return copied.Ok() ? 0 : copied.Error().number;
  };
  CHECK(number(folder / "none", folder / "to") == ENOENT);
  CHECK(number(folder / "folder", folder / "to") == EISDIR);
  CHECK(number(folder / "fifo", folder / "to") == EINVAL);
  CHECK(number(folder / "from", folder / "none/to") == ENOENT);
  CHECK(number(folder / "from", folder / "folder") == EISDIR);
  CHECK(Entries(folder.Path()) == before);
}

TEST(a_cancelled_copy_leaves_nothing) {
  const TemporaryFolder folder;
  WriteText(folder / "from", std::string(20 * kMib, 'x'));
  Cancellation cancellation;
  uint64_t seen = 0;
  const auto cancel_at_once = [&](uint64_t done, uint64_t) {
    seen = done;
    cancellation.Cancel();
  };
  auto copied = CopyFile({folder / "from", folder / "to", false, true}, cancellation, cancel_at_once);
  if (!copied.Ok()) CHECK(copied.Error().number == ECANCELED && seen < 20 * kMib);
  CHECK(!copied.Ok() && Entries(folder.Path()) == "from ");
}

TEST(a_source_that_shrinks_is_an_error) {
  for (const bool with_hole : {false, true}) {
    const TemporaryFolder folder;
    WriteText(folder / "from", std::string(20 * kMib, 'x'));
    if (with_hole) CHECK(truncate((folder / "from").c_str(), 400 * kMib) == 0);
    const auto shrink = [&](uint64_t, uint64_t) {
      CHECK(truncate((folder / "from").c_str(), 10 * kMib) == 0);
    };
    auto copied = CopyFile({folder / "from", folder / "to", false, true}, Cancellation(), shrink);
    CHECK(!copied.Ok() && copied.Error().number == EIO);
    CHECK(!Exists(folder / "to"));
  }
}

RUN_TESTS()
