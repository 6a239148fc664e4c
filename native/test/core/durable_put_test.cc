#include "core/durable_put.h"

#include "check.h"
#include "durable_batch.h"

using namespace microvm::core;
using microvm::test::DurableBatch;
using microvm::test::Exists;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;
using Source = PutRequest::Source;

namespace {

// Prepares and commits; 0 or the error's number.
int Put(const PutRequest& request) {
  auto prepared = PreparePut(request, Cancellation(), {});
  if (!prepared.Ok()) return prepared.Error().number;
  DurableBatch batch;
  batch.Submit(std::move(prepared.Value().change));
  return batch.Await().front();
}

PutRequest Data(const std::string& target, const std::string& data) {
  PutRequest request;
  request.data = data;
  request.target = target;
  return request;
}

PutRequest From(Source source, const std::string& from, const std::string& target) {
  PutRequest request;
  request.source = source;
  request.from = from;
  request.target = target;
  return request;
}

struct stat StatOf(const std::string& path) {
  struct stat status {};
  CHECK(stat(path.c_str(), &status) == 0);
  return status;
}

}  // namespace

TEST(data_a_copy_and_a_moved_file_get_their_name_owner_and_mode) {
  const TemporaryFolder folder;
  WriteText(folder / "from", "content");
  CHECK(chmod((folder / "from").c_str(), 0640) == 0);
  CHECK(Put(Data(folder / "data", "bytes")) == 0);
  CHECK(ReadText(folder / "data") == "bytes" && (StatOf(folder / "data").st_mode & 07777) == 0600);
  CHECK(Put(From(Source::kCopy, folder / "from", folder / "copy")) == 0);
  CHECK(ReadText(folder / "copy") == "content" && (StatOf(folder / "copy").st_mode & 07777) == 0640);
  const ino_t inode = StatOf(folder / "from").st_ino;
  PutRequest moved = From(Source::kMove, folder / "from", folder / "moved");
  moved.mode = 0444;
  if (geteuid() == 0) moved.uid = moved.gid = 20001;
  CHECK(Put(moved) == 0);
  CHECK(!Exists(folder / "from") && StatOf(folder / "moved").st_ino == inode);
  CHECK((StatOf(folder / "moved").st_mode & 07777) == 0444);
  if (geteuid() == 0)
    CHECK(StatOf(folder / "moved").st_uid == 20001 && StatOf(folder / "moved").st_gid == 20001);
}

TEST(what_is_at_the_target_is_replaced_or_kept) {
  const TemporaryFolder folder;
  WriteText(folder / "from", "new");
  for (const Source source : {Source::kData, Source::kCopy, Source::kMove}) {
    WriteText(folder / "target", "old");
    PutRequest request = From(source, folder / "from", folder / "target");
    request.data = "new";
    request.replaces = false;
    CHECK(Put(request) == EEXIST && ReadText(folder / "target") == "old" && Exists(folder / "from"));
    request.replaces = true;
    CHECK(Put(request) == 0 && ReadText(folder / "target") == "new");
  }
}

TEST(a_prepared_file_that_is_dropped_leaves_nothing) {
  const TemporaryFolder folder;
  WriteText(folder / "from", "x");
  { auto prepared = PreparePut(From(Source::kCopy, folder / "from", folder / "to"), Cancellation(), {}); }
  { auto prepared = PreparePut(From(Source::kMove, folder / "from", folder / "to"), Cancellation(), {}); }
  CHECK(Exists(folder / "from") && !Exists(folder / "to"));
}

TEST(a_source_of_another_size_is_refused_before_anything_is_made) {
  const TemporaryFolder folder;
  WriteText(folder / "from", "12345");
  for (const Source source : {Source::kCopy, Source::kMove}) {
    PutRequest request = From(source, folder / "from", folder / "to");
    request.size = {4, 4};
    CHECK(Put(request) == EFBIG);
    request.size = {6, 6};
    CHECK(Put(request) == EIO);
    CHECK(!Exists(folder / "to") && ReadText(folder / "from") == "12345");
  }
}

TEST(a_link_is_not_moved_and_not_followed) {
  const TemporaryFolder folder;
  WriteText(folder / "file", "x");
  CHECK(symlink((folder / "file").c_str(), (folder / "link").c_str()) == 0);
  CHECK(Put(From(Source::kMove, folder / "link", folder / "to")) == ELOOP);
  CHECK(Put(Data(folder / "link", "new")) == 0);
  CHECK(ReadText(folder / "file") == "x" && ReadText(folder / "link") == "new");
}

TEST(a_cancelled_put_leaves_nothing) {
  const TemporaryFolder folder;
  WriteText(folder / "from", "x");
  Cancellation cancelled;
  cancelled.Cancel();
  for (const Source source : {Source::kData, Source::kCopy, Source::kMove}) {
    auto prepared = PreparePut(From(source, folder / "from", folder / "to"), cancelled, {});
    CHECK(!prepared.Ok() && prepared.Error().number == ECANCELED);
  }
  CHECK(!Exists(folder / "to") && Exists(folder / "from"));
}

RUN_TESTS()
