#include <dirent.h>

#include <condition_variable>
#include <mutex>

#include "check.h"
#include "core/image/flatten.h"
#include "core/image/sha256_stream.h"
#include "core/pipe.h"
#include "core/thread.h"

using namespace microvm::core;
using namespace microvm::core::image;
using microvm::test::ReadText;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

size_t CountEntries(const std::string& path) {
  size_t count = 0;
  DIR* directory = opendir(path.c_str());
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count - 2;
}

// A folder with a file of 300 KiB as the only layer.
FlattenRequest RequestOf(const TemporaryFolder& folder, int output) {
  mkdir((folder / "rootfs").c_str(), 0755);
  mkdir((folder / "work").c_str(), 0755);
  WriteText(folder / "rootfs/file", std::string(300'000, 'x'));
  FlattenRequest request;
  LayerInput layer;
  layer.path = folder / "rootfs";
  layer.is_folder = true;
  request.layers.push_back(layer);
  request.work_dir = folder / "work";
  request.output = output;
  return request;
}

Result<FlattenOutcome> Flatten(const FlattenRequest& request, const Cancellation& cancellation = {}) {
  return FlattenLayers(request, cancellation, {}, {});
}

}  // namespace

TEST(the_digest_is_that_of_sha256) {
  Sha256Stream digest;
  digest.Add("a", 1);
  digest.Add("bc", 2);
  CHECK(digest.Finish() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(a_folder_becomes_a_stream_and_nothing_is_left) {
  const TemporaryFolder folder;
  auto output = OpenFile(folder / "stream", O_WRONLY | O_CREAT, 0600);
  auto done = Flatten(RequestOf(folder, output.Value().Get()));
  CHECK(done.Ok() && !done.Value().fault);
  CHECK(done.Value().counts.entries == 1 && done.Value().counts.file_bytes == 300'000);
  CHECK(ReadText(folder / "stream").size() == done.Value().counts.stream_bytes);
  CHECK(CountEntries(folder / "work") == 0);
}

TEST(where_there_are_no_files_without_a_name_they_lose_it_at_once) {
  const TemporaryFolder folder;
  // Overlayfs of old kernels and some network file systems refuse O_TMPFILE; /proc stands in for them: it has
  // neither.
  auto stage = Stage::Create("/proc");
  CHECK(!stage.Ok());
  auto own = Stage::Create(folder.Path());
  CHECK(own.Ok() && own.Value().Append("abc", 3).Ok() && own.Value().Size() == 3);
  char bytes[2];
  CHECK(own.Value().Read(1, bytes, 2).Ok() && bytes[0] == 'b' && bytes[1] == 'c');
  // More than was written is an error, and not zeros.
  CHECK(own.Value().Read(2, bytes, 2).Error().number == EIO);
  CHECK(CountEntries(folder.Path()) == 0);
}

TEST(a_dead_reader_is_epipe_without_a_signal) {
  const TemporaryFolder folder;
  auto pipe = MakePipe();
  pipe.Value().read.Reset();
  const pid_t child = fork();
  if (child == 0) {
    // The default action would end the process.
    signal(SIGPIPE, SIG_DFL);
    auto done = Flatten(RequestOf(folder, pipe.Value().write.Get()));
    _exit(!done.Ok() && done.Error().number == EPIPE ? 0 : 1);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(a_cancellation_ends_a_write_that_waits) {
  const TemporaryFolder folder;
  auto pipe = MakePipe();
  Cancellation cancellation;
  std::mutex mutex;
  std::condition_variable changed;
  bool has_cancelled = false;
  const auto on_root = [&](const Inode&) {
    // Cancelled when the first byte has been written, of more than the pipe can hold.
    static_cast<void>(StartThread("test", [&] {
      char byte = 0;
      static_cast<void>(RetryOnSignal([&] { return read(pipe.Value().read.Get(), &byte, 1); }));
      cancellation.Cancel();
      const std::lock_guard lock(mutex);
      has_cancelled = true;
      changed.notify_all();
    }));
  };
  auto done = FlattenLayers(RequestOf(folder, pipe.Value().write.Get()), cancellation, {}, on_root);
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return has_cancelled; });
  }
  CHECK(!done.Ok() && done.Error().number == ECANCELED);
  CHECK(CountEntries(folder / "work") == 0);
}

TEST(a_full_output_is_an_error_of_the_system) {
  const TemporaryFolder folder;
  auto full = OpenFile("/dev/full", O_WRONLY);
  auto done = Flatten(RequestOf(folder, full.Value().Get()));
  CHECK(!done.Ok() && done.Error().number == ENOSPC);
}

TEST(one_layers_fault_ends_the_others) {
  const TemporaryFolder folder;
  auto output = OpenFile("/dev/null", O_WRONLY);
  FlattenRequest request = RequestOf(folder, output.Value().Get());
  LayerInput broken;
  broken.path = folder / "broken";
  WriteText(broken.path, std::string(4096, 'x'));
  for (int i = 0; i < 6; ++i) request.layers.push_back(broken);
  auto done = Flatten(request);
  CHECK(done.Ok() && done.Value().fault && done.Value().fault->layer >= 1);
  CHECK(done.Value().fault->reason == "a header of the archive has a wrong checksum");
  LayerInput missing;
  missing.path = folder / "none";
  request.layers = {missing};
  done = Flatten(request);
  CHECK(!done.Ok() && done.Error().number == ENOENT && done.Error().path == missing.path);
}

RUN_TESTS()
