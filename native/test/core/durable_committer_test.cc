#include "core/durable_committer.h"

#include <dirent.h>

#include <condition_variable>
#include <map>

#include "check.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using Kind = DurableChange::Kind;

namespace {

// Submits changes and waits for their outcomes.
class Batch {
 public:
  void Add(Kind kind, const std::string& path, const std::string& data_or_target = {}) {
    DurableChange change;
    change.kind = kind;
    change.path = path;
    (kind == Kind::kRename ? change.target : change.data) = data_or_target;
    Submit(std::move(change));
  }

  // A write of what is written again and again.
  void Rewrite(const std::string& path, const std::string& data) {
    DurableChange change;
    change.path = path;
    change.data = data;
    change.keep_spare = true;
    Submit(std::move(change));
  }

  void Submit(DurableChange change) {
    const size_t index = submitted_++;
    change.done = [this, index](const Status& status) {
      const std::lock_guard lock(mutex_);
      outcomes_[index] = status;
      changed_.notify_all();
    };
    CHECK(DurableCommitter::Instance().Submit(std::move(change)).Ok());
  }

  // 0 or the error number of each change.
  std::vector<int> Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcomes_.size() == submitted_; });
    std::vector<int> numbers;
    for (const auto& [index, status] : outcomes_) numbers.push_back(status.Ok() ? 0 : status.Error().number);
    return numbers;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t submitted_ = 0;
  std::map<size_t, Status> outcomes_;
};

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
  Batch batch;
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
  Batch batch;
  for (int i = 0; i < 100; ++i) batch.Add(Kind::kWrite, folder / "f", std::to_string(i));
  CHECK(batch.Await() == std::vector<int>(100, 0));
  CHECK(ReadText(folder / "f") == "99");
}

TEST(a_folder_and_its_content_keep_their_order) {
  const TemporaryFolder folder;
  mkdir((folder / "old").c_str(), 0700);
  Batch batch;
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
  Batch batch;
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
  Batch batch;
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
  Batch batch;
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
  Batch batch;
  batch.Add(Kind::kWrite, folder / "link", "new");
  CHECK(batch.Await() == std::vector<int>{0});
  CHECK(ReadText(folder / "target") == "old" && ReadText(folder / "link") == "new");
}

TEST(what_is_written_again_and_again_takes_turns_with_its_spare_file) {
  const TemporaryFolder folder;
  const auto rewrite = [&](const std::string& data) {
    Batch batch;
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
  Batch batch;
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
  Batch batch;
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
    Batch batch;
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
  Batch batch;
  batch.Rewrite(folder / "folder", "x");
  batch.Rewrite(folder / "link", "new");
  CHECK((batch.Await() == std::vector<int>{EISDIR, 0}));
  CHECK(ReadText(folder / "target") == "old" && ReadText(folder / "link") == "new");
  CHECK(CountEntries(folder.Path()) == 3);
}

RUN_TESTS()
