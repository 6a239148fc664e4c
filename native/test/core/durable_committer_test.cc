#include "core/durable_committer.h"

#include <dirent.h>

#include "check.h"
#include "durable_batch.h"

using namespace microvm::core;
using microvm::test::DurableBatch;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using Kind = DurableChange::Kind;

namespace {

ino_t InodeOf(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

int CountEntries(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  int count = -2;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

}  // namespace

TEST(writes_removes_and_renames) {
  const TemporaryFolder folder;
  DurableBatch batch;
  batch.Add(Kind::kWrite, folder / "a", "one");
  batch.Add(Kind::kWrite, folder / "b", "two");
  batch.Add(Kind::kRename, folder / "a", folder / "c");
  batch.Add(Kind::kRemove, folder / "b");
  CHECK(batch.Await() == std::vector<int>(4, 0));
  CHECK(ReadText(folder / "c") == "one");
  CHECK(CountEntries(folder.Path()) == 1);
}

TEST(the_last_of_many_writes_to_a_path_stands) {
  const TemporaryFolder folder;
  DurableBatch batch;
  for (int i = 0; i < 100; ++i) batch.Add(Kind::kWrite, folder / "f", std::to_string(i));
  CHECK(batch.Await() == std::vector<int>(100, 0));
  CHECK(ReadText(folder / "f") == "99");
}

TEST(a_folder_and_its_content_keep_their_order) {
  const TemporaryFolder folder;
  mkdir((folder / "old").c_str(), 0700);
  DurableBatch batch;
  batch.Add(Kind::kWrite, folder / "old/f", "1");
  batch.Add(Kind::kRename, folder / "old", folder / "new");
  batch.Add(Kind::kWrite, folder / "new/g", "2");
  batch.Add(Kind::kRename, folder / "new", folder / "last");
  batch.Add(Kind::kRemove, folder / "last/f");
  CHECK(batch.Await() == std::vector<int>(5, 0));
  CHECK(ReadText(folder / "last/g") == "2" && CountEntries(folder / "last") == 1);
}

TEST(many_at_once_in_many_folders) {
  const TemporaryFolder folder;
  DurableBatch batch;
  for (int i = 0; i < 20; ++i) mkdir((folder / std::to_string(i)).c_str(), 0700);
  for (int i = 0; i < 600; ++i) {
    batch.Add(Kind::kWrite, folder / (std::to_string(i % 20) + "/" + std::to_string(i)),
              std::string(i * 10, 'x'));
  }
  CHECK(batch.Await() == std::vector<int>(600, 0));
  for (int i = 0; i < 600; ++i) {
    CHECK(ReadText(folder / (std::to_string(i % 20) + "/" + std::to_string(i))).size() ==
          static_cast<size_t>(i * 10));
  }
}

TEST(what_fails_fails_alone_and_leaves_nothing) {
  const TemporaryFolder folder;
  mkdir((folder / "folder").c_str(), 0700);
  microvm::test::WriteText(folder / "folder/f", "x");
  DurableBatch batch;
  batch.Add(Kind::kWrite, folder / "a", "1");
  batch.Add(Kind::kWrite, folder / "no/b", "2");
  batch.Add(Kind::kWrite, folder / "folder", "3");
  batch.Add(Kind::kRemove, folder / "c");
  batch.Add(Kind::kRename, folder / "d", folder / "e");
  batch.Add(Kind::kRename, folder / "a", folder / "no/f");
  batch.Add(Kind::kWrite, folder / "g", "4");
  CHECK((batch.Await() == std::vector<int>{0, ENOENT, EISDIR, ENOENT, ENOENT, ENOENT, 0}));
  CHECK(CountEntries(folder.Path()) == 3);
}

TEST(a_new_file_is_private_and_an_old_one_keeps_its_mode) {
  const TemporaryFolder folder;
  microvm::test::WriteText(folder / "old", "");
  CHECK(chmod((folder / "old").c_str(), 0640) == 0);
  DurableBatch batch;
  batch.Add(Kind::kWrite, folder / "old", "1");
  batch.Add(Kind::kWrite, folder / "new", "2");
  batch.Await();
  struct stat status {};
  CHECK(stat((folder / "old").c_str(), &status) == 0 && (status.st_mode & 0777) == 0640);
  CHECK(stat((folder / "new").c_str(), &status) == 0 && (status.st_mode & 0777) == 0600);
}

TEST(a_link_is_replaced_not_followed) {
  const TemporaryFolder folder;
  microvm::test::WriteText(folder / "target", "old");
  CHECK(symlink((folder / "target").c_str(), (folder / "link").c_str()) == 0);
  DurableBatch batch;
  batch.Add(Kind::kWrite, folder / "link", "new");
  CHECK(batch.Await() == std::vector<int>{0});
  CHECK(ReadText(folder / "target") == "old" && ReadText(folder / "link") == "new");
}

TEST(what_is_written_again_and_again_takes_turns_with_its_spare_file) {
  const TemporaryFolder folder;
  const auto rewrite = [&](const std::string& data) {
    DurableBatch batch;
    batch.Rewrite(folder / "f", data);
    CHECK(batch.Await() == std::vector<int>{0});
    CHECK(ReadText(folder / "f") == data);
    return InodeOf(folder / "f");
  };
  const ino_t first = rewrite("one");
  CHECK(CountEntries(folder.Path()) == 1);
  const ino_t second = rewrite("a longer one");
  CHECK(second != first && InodeOf(folder / ".spare-f") == first);
  CHECK(rewrite("3") == first);
  CHECK(rewrite("") == second);
  CHECK(CountEntries(folder.Path()) == 2);
}

TEST(many_rewrites_keep_their_order) {
  const TemporaryFolder folder;
  DurableBatch batch;
  for (int i = 0; i < 200; ++i) batch.Rewrite(folder / std::to_string(i % 4), std::string(200 - i, 'x'));
  CHECK(batch.Await() == std::vector<int>(200, 0));
  for (int i = 196; i < 200; ++i) CHECK(ReadText(folder / std::to_string(i % 4)).size() == size_t(200 - i));
  CHECK(CountEntries(folder.Path()) == 8);
}

TEST(a_spare_file_that_a_kill_left_half_written_is_written_anew) {
  const TemporaryFolder folder;
  microvm::test::WriteText(folder / "f", "old");
  microvm::test::WriteText(folder / ".spare-f", std::string(10'000, 'y'));
  CHECK(chmod((folder / "f").c_str(), 0640) == 0);
  DurableBatch batch;
  batch.Rewrite(folder / "f", "new");
  CHECK(batch.Await() == std::vector<int>{0});
  struct stat status {};
  CHECK(ReadText(folder / "f") == "new" && ReadText(folder / ".spare-f") == "old");
  CHECK(stat((folder / "f").c_str(), &status) == 0 && (status.st_mode & 0777) == 0640);
}

TEST(what_has_another_name_is_no_spare_file) {
  const TemporaryFolder folder;
  microvm::test::WriteText(folder / "f", "old");
  CHECK(link((folder / "f").c_str(), (folder / "other").c_str()) == 0);
  for (const char* data : {"1", "2", "3"}) {
    DurableBatch batch;
    batch.Rewrite(folder / "f", data);
    CHECK(batch.Await() == std::vector<int>{0});
  }
  CHECK(ReadText(folder / "f") == "3" && ReadText(folder / "other") == "old");
}

TEST(a_folder_or_a_link_takes_no_turns) {
  const TemporaryFolder folder;
  mkdir((folder / "folder").c_str(), 0700);
  microvm::test::WriteText(folder / "target", "old");
  CHECK(symlink((folder / "target").c_str(), (folder / "link").c_str()) == 0);
  DurableBatch batch;
  batch.Rewrite(folder / "folder", "x");
  batch.Rewrite(folder / "link", "new");
  CHECK((batch.Await() == std::vector<int>{EISDIR, 0}));
  CHECK(ReadText(folder / "target") == "old" && ReadText(folder / "link") == "new");
  CHECK(CountEntries(folder.Path()) == 3);
}

RUN_TESTS()
