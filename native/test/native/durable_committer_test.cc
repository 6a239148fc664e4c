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

RUN_TESTS()
