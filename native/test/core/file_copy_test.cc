#include "core/file_copy.h"

#include <dirent.h>
#include <sys/mount.h>

#include "check.h"
#include "refuse_syscall.h"

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

bool IsSame(const std::string& left, const std::string& right) {
  auto a = OpenFile(left, O_RDONLY);
  auto b = OpenFile(right, O_RDONLY);
  std::string x(1 << 20, '\0');
  std::string y(1 << 20, '\0');
  while (true) {
    const ssize_t got = read(a.Value().Get(), x.data(), x.size());
    if (got != read(b.Value().Get(), y.data(), y.size()) || x != y) return false;
    if (got <= 0) return got == 0;
  }
}

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

TEST(a_source_that_vanishes_is_an_error) {
  const TemporaryFolder folder;
  WriteText(folder / "from", std::string(20 * kMib, 'x'));
  const auto vanish = [&](uint64_t, uint64_t) { unlink((folder / "from").c_str()); };
  auto copied = CopyFile({folder / "from", folder / "to", false, true}, Cancellation(), vanish);
  CHECK(!copied.Ok() && copied.Error().number == ENOENT && copied.Error().path == folder / "from");
  CHECK(Entries(folder.Path()).empty());
}

TEST(a_full_disk_is_an_error) {
  if (geteuid() != 0) return;
  const TemporaryFolder folder;
  const TemporaryFolder mounted;
  CHECK(mount("tmpfs", mounted.Path().c_str(), "tmpfs", 0, "size=8m") == 0);
  WriteText(folder / "from", std::string(12 * kMib, 'x'));
  for (const bool punch_zeros : {false, true}) {
    auto copied = Copy({folder / "from", mounted / "to", false, punch_zeros});
    CHECK(!copied.Ok() && copied.Error().number == ENOSPC && copied.Error().path == mounted / "to");
    CHECK(Entries(mounted.Path()).empty());
  }
  CHECK(umount(mounted.Path().c_str()) == 0);
}

TEST(progress_grows_up_to_the_whole) {
  const TemporaryFolder folder;
  WriteAt(folder / "from", 30 * kMib, std::string(60 * kMib, 'x'));
  uint64_t last = 0;
  const auto look = [&](uint64_t done, uint64_t total) {
    CHECK(done > last && done <= total && total == 90 * kMib);
    last = done;
  };
  CHECK(CopyFile({folder / "from", folder / "to", false, true}, Cancellation(), look).Ok());
  CHECK(last == 90 * kMib);
}

// Last: the filter stays.
TEST(several_threads_copy_where_the_kernel_does_not) {
  const TemporaryFolder folder;
  std::string data(16 * kMib, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 2654435761u >> 13);
  for (const off_t at : {0, 17, 40, 60, 100}) WriteAt(folder / "from", at * kMib + at * 4096, data);
  CHECK(truncate((folder / "from").c_str(), 150 * kMib + 1) == 0);
  CHECK(microvm::test::RefuseSyscall(326));  // copy_file_range
  auto copied = Copy({folder / "from", folder / "to", false, false});
  CHECK(copied.Ok() && (IsReflink(copied) || copied.Value().method == CopyMethod::kCopy));
  CHECK(IsReflink(copied) || copied.Value().data_bytes == 80 * kMib);
  CHECK(IsSame(folder / "from", folder / "to"));
  CHECK(StatOf(folder / "to").st_blocks <= StatOf(folder / "from").st_blocks + 64);
  a_failure_leaves_nothing();
  a_source_that_shrinks_is_an_error();
  a_full_disk_is_an_error();
}

RUN_TESTS()
