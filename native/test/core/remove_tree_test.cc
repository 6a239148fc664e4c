#include "core/remove_tree.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "check.h"
#include "refuse_syscall.h"

using namespace microvm::core;
using microvm::test::Exists;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

TEST(removes_all_and_counts_it) {
  const TemporaryFolder folder;
  for (const char* name : {"t", "t/a", "t/a/b"}) mkdir((folder / name).c_str(), 0700);
  WriteText(folder / "t/f", "");
  WriteText(folder / "t/a/b/g", "");
  const RemovedTree removed = RemoveTree(folder / "t");
  CHECK(removed.IsComplete() && removed.files == 2 && removed.directories == 3);
  CHECK(!Exists(folder / "t"));
  CHECK(RemoveTree(folder / "t").IsComplete());
}

TEST(follows_no_link) {
  const TemporaryFolder folder;
  mkdir((folder / "keep").c_str(), 0700);
  WriteText(folder / "keep/f", "");
  mkdir((folder / "t").c_str(), 0700);
  CHECK(symlink((folder / "keep").c_str(), (folder / "t/link").c_str()) == 0);
  CHECK(symlink("../keep/f", (folder / "t/file-link").c_str()) == 0);
  CHECK(symlink((folder / "keep").c_str(), (folder / "top").c_str()) == 0);
  CHECK(RemoveTree(folder / "t").IsComplete());
  CHECK(!RemoveTree(folder / "top").IsComplete());
  CHECK(Exists(folder / "keep/f"));
}

TEST(refuses_what_is_no_tree) {
  const TemporaryFolder folder;
  WriteText(folder / "file", "");
  CHECK(!RemoveTree(folder / "file").IsComplete() && Exists(folder / "file"));
  CHECK(RemoveTree("/").left.front().number == EINVAL);
  CHECK(RemoveTree(folder / "..").left.front().number == EINVAL);
}

TEST(a_very_deep_tree_goes) {
  const TemporaryFolder folder;
  mkdir((folder / "t").c_str(), 0700);
  UniqueFd at(open((folder / "t").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 3000; ++i) {
    CHECK(mkdirat(at.Get(), "d", 0700) == 0);
    at.Reset(openat(at.Get(), "d", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  const RemovedTree removed = RemoveTree(folder / "t");
  CHECK(removed.IsComplete() && removed.directories == 3001);
  CHECK(!Exists(folder / "t"));
}

TEST(a_deep_tree_goes_with_few_descriptors_to_spare) {
  const TemporaryFolder folder;
  std::string path = folder / "t";
  mkdir(path.c_str(), 0700);
  for (int i = 0; i < 60; ++i) {
    WriteText(path + "/file", "");
    path += "/d";
    CHECK(mkdir(path.c_str(), 0700) == 0);
  }
  rlimit before{};
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const UniqueFd highest(open("/", O_PATH | O_CLOEXEC));
  const rlimit few{static_cast<rlim_t>(highest.Get()) + 5, before.rlim_max};
  CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const RemovedTree removed = RemoveTree(folder / "t");
  // With none at all nothing goes, and that is told.
  const rlimit none{static_cast<rlim_t>(highest.Get()) + 1, before.rlim_max};
  mkdir((folder / "u").c_str(), 0700);
  mkdir((folder / "u/d").c_str(), 0700);
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const RemovedTree refused = RemoveTree(folder / "u");
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(removed.IsComplete() && removed.files == 60 && removed.directories == 61);
  CHECK(!refused.IsComplete() && refused.left.front().number == EMFILE && Exists(folder / "u/d"));
}

TEST(more_directories_than_are_remembered_at_a_time_go) {
  const TemporaryFolder folder;
  mkdir((folder / "t").c_str(), 0700);
  for (int i = 0; i < 700; ++i) {
    const std::string directory = folder / ("t/" + std::to_string(i));
    mkdir(directory.c_str(), 0700);
    WriteText(directory + "/file", "");
  }
  CHECK(RemoveTree(folder / "t").directories == 701);
}

TEST(crosses_no_mount_not_even_of_the_same_file_system) {
  if (getuid() != 0 || unshare(CLONE_NEWNS) != 0) return;
  CHECK(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  const TemporaryFolder folder;
  for (const char* name : {"keep", "t", "t/a", "t/a/mounted"}) mkdir((folder / name).c_str(), 0700);
  WriteText(folder / "keep/f", "");
  WriteText(folder / "t/other", "");
  CHECK(mount((folder / "keep").c_str(), (folder / "t/a/mounted").c_str(), nullptr, MS_BIND, nullptr) == 0);
  const RemovedTree removed = RemoveTree(folder / "t");
  CHECK(removed.left_count == 1 && removed.left.front().path == folder / "t/a/mounted");
  CHECK(removed.left.front().number == EXDEV);
  CHECK(Exists(folder / "keep/f"));
  CHECK(!Exists(folder / "t/other"));
  CHECK(umount((folder / "t/a/mounted").c_str()) == 0);
  CHECK(RemoveTree(folder / "t").IsComplete());
}

// Last: the filter stays.
TEST(works_where_openat2_is_refused) {
  CHECK(microvm::test::RefuseSyscall(437));
  removes_all_and_counts_it();
  follows_no_link();
  a_very_deep_tree_goes();
  if (getuid() != 0) return;
  const TemporaryFolder folder;
  for (const char* name : {"t", "t/mounted"}) mkdir((folder / name).c_str(), 0700);
  CHECK(mount("tmpfs", (folder / "t/mounted").c_str(), "tmpfs", 0, nullptr) == 0);
  WriteText(folder / "t/mounted/f", "");
  CHECK(!RemoveTree(folder / "t").IsComplete());
  CHECK(Exists(folder / "t/mounted/f"));
  CHECK(umount((folder / "t/mounted").c_str()) == 0);
}

RUN_TESTS()
