#include "watcher/ward_list.h"

#include <signal.h>
#include <sys/wait.h>

#include "check.h"
#include "core/process_identity.h"

using microvm::test::Exists;
using microvm::test::TemporaryFolder;
using microvm::watcher::WardList;

namespace {

// A child that waits for ever; reaped by the test.
pid_t StartChild() {
  const pid_t pid = fork();
  if (pid == 0) {
    while (true) pause();
  }
  return pid;
}

std::string StartTime(pid_t pid) { return microvm::core::IdentifyProcess(pid).Value()->start_time; }

}  // namespace

TEST(kills_what_is_listed_and_removes_its_folder) {
  const TemporaryFolder folder;
  mkdir((folder / "with space").c_str(), 0700);
  const pid_t pid = StartChild();
  WardList wards;
  wards.Feed("add " + std::to_string(pid) + " " + StartTime(pid) + " " + (folder / "with space") + "\n");
  CHECK(wards.Reclaim());
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  CHECK(!Exists(folder / "with space"));
}

TEST(removes_all_folders_of_a_process_and_none_of_an_earlier_one_with_its_pid) {
  const TemporaryFolder folder;
  for (const char* name : {"one", "two", "earlier"}) mkdir((folder / name).c_str(), 0700);
  const pid_t pid = StartChild();
  const std::string add = "add " + std::to_string(pid) + " ";
  const std::string own = add + StartTime(pid) + " ";
  WardList wards;
  wards.Feed(add + "1 " + (folder / "earlier") + "\n");
  wards.Feed(own + (folder / "one") + "\n" + own + (folder / "two") + "\n");
  CHECK(wards.Size() == 1 && wards.Reclaim());
  waitpid(pid, nullptr, 0);
  CHECK(!Exists(folder / "one") && !Exists(folder / "two") && Exists(folder / "earlier"));
}

TEST(spares_what_was_taken_off_and_a_later_process_with_the_pid) {
  const TemporaryFolder folder;
  mkdir((folder / "kept").c_str(), 0700);
  mkdir((folder / "gone").c_str(), 0700);
  const pid_t first = StartChild();
  const pid_t second = StartChild();
  WardList wards;
  wards.Feed("add " + std::to_string(first) + " " + StartTime(first) + " " + (folder / "kept") + "\n");
  wards.Feed("del " + std::to_string(first) + "\n");
  wards.Feed("add " + std::to_string(second) + " 1 " + (folder / "gone") + "\n");
  CHECK(wards.Size() == 1 && wards.Reclaim());
  CHECK(Exists(folder / "kept") && !Exists(folder / "gone"));
  for (const pid_t pid : {first, second}) {
    CHECK(kill(pid, 0) == 0);
    microvm::test::EndChild(pid);
  }
}

TEST(ignores_lines_without_sense) {
  WardList wards;
  wards.Feed(
      "\nadd\nadd 5\nadd 5 6\nadd x 6 /a\nadd 5 x /a\nadd -5 6 /a\nadd 5 6 a\nadd 5 6 /\nadd 5 6 //\n");
  CHECK(wards.IgnoredLines() == 10);
  wards.Feed("add 5 6 /a/../b\nadd 5 6 /a/..\nadd 5 6 /a/./b\nadd 1 6 /a\nadd 99999999999 6 /a\n");
  wards.Feed("del\ndel x\ndel 5 6\nkill 5\nadd  5 6 /a\n");
  CHECK(wards.IgnoredLines() == 20);
  CHECK(wards.Size() == 0);
  wards.Feed("add 5 6 -\ndel 7\n");
  CHECK(wards.Size() == 1 && wards.IgnoredLines() == 20);
}

TEST(takes_lines_however_they_are_cut) {
  WardList wards;
  const std::string text = "add 5 6 /a\nadd 7 8 -\ndel 5\nadd 9 10 /cut";
  for (const char byte : text) wards.Feed({&byte, 1});
  CHECK(wards.Size() == 1 && wards.IgnoredLines() == 0);
}

TEST(an_endless_line_takes_no_memory_and_does_not_hide_the_next) {
  WardList wards;
  for (int i = 0; i < 100; ++i) wards.Feed(std::string(100000, 'x'));
  wards.Feed("\nadd 7 8 -\n");
  CHECK(wards.IgnoredLines() == 1 && wards.Size() == 1);
}

RUN_TESTS()
