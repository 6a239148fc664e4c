// What a failed flush leaves: fsync of folders fails here when a test says so, as it does on a disk with
// errors.
#include <sys/syscall.h>

#include <atomic>

#include "check.h"
#include "durable_batch.h"

using namespace microvm::core;
using microvm::test::DurableBatch;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;

namespace {

std::atomic<bool> folders_fail{false};

}  // namespace

extern "C" int fsync(int fd) {
  struct stat status {};
  if (folders_fail && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fsync, fd));
}

namespace {

// 0 or the number of the error.
int Rewrite(const std::string& path, const std::string& data) {
  DurableBatch batch;
  batch.Rewrite(path, data);
  return batch.Await().front();
}

}  // namespace

TEST(
    after_a_failed_flush_of_the_folder_no_write_goes_into_the_file_that_may_still_be_the_record_on_the_disk) {
  const TemporaryFolder folder;
  CHECK(Rewrite(folder / "f", "first") == 0);
  CHECK(Rewrite(folder / "f", "second") == 0);
  auto on_disk = OpenFile(folder / "f", O_RDONLY);
  folders_fail = true;
  CHECK(Rewrite(folder / "f", "rejected") == EIO);
  folders_fail = false;
  CHECK(Rewrite(folder / "f", "third") == 0);
  auto content = ReadSmallFile(on_disk.Value().Get(), "f", 100);
  CHECK(content.Ok() && content.Value() == "second");
  CHECK(ReadText(folder / "f") == "third");
}

RUN_TESTS()
