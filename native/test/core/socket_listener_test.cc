#include "core/wait/socket_listener.h"

#include "wait_fixture.h"

using namespace microvm::core;
using namespace microvm::test;
using ListenerPtr = std::shared_ptr<SocketListener>;

namespace {

// Hands one value from the loop's thread to the test's.
template <typename T>
class Slot {
 public:
  void Put(T value) {
    const std::lock_guard lock(mutex_);
    value_ = std::make_unique<T>(std::move(value));
    changed_.notify_all();
  }
  T Take() {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return value_ != nullptr; }));
    return std::move(*std::exchange(value_, nullptr));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<T> value_;
};

Result<ListenerPtr> Open(const std::string& path, const ListenOptions& options = {}) {
  Slot<Result<ListenerPtr>> slot;
  CHECK(SocketListener::Open(path, options, [&slot](Result<ListenerPtr> opened) {
          slot.Put(std::move(opened));
        }).Ok());
  return slot.Take();
}

void Close(const ListenerPtr& listener) {
  Slot<bool> slot;
  listener->Close([&slot] { slot.Put(true); });
  slot.Take();
}

}  // namespace

TEST(hands_over_each_connection_once) {
  const TemporaryFolder folder;
  const ListenerPtr listener = Open(folder / "v_1").Value();
  Ends ends;
  for (int i = 0; i < 100; ++i) AcceptWait::Begin(listener, {folder / "v_1", {}, {}}, ends.Callback());
  std::vector<UniqueFd> guests;
  for (int i = 0; i < 100; ++i) {
    auto guest = ConnectUnix(folder / "v_1");
    CHECK(guest.Ok());
    Send(guest.Value().Get(), std::to_string(i));
    guests.push_back(std::move(guest.Value()));
  }
  int sum = 0;
  for (WaitEnd& end : ends.Await(100)) {
    CHECK(end.socket.Ok());
    sum += atoi(ReadSome(end.socket.Value().Get()).c_str());
  }
  CHECK(sum == 100 * 99 / 2);
  Close(listener);
}

TEST(belongs_to_whom_it_should) {
  const TemporaryFolder folder;
  if (geteuid() != 0) return;
  const ListenerPtr listener = Open(folder / "v_1", {0660, 8, 4711, 4712}).Value();
  struct stat status {};
  CHECK(lstat((folder / "v_1").c_str(), &status) == 0);
  CHECK(status.st_uid == 4711 && status.st_gid == 4712 && (status.st_mode & 07777) == 0660);
  Close(listener);
}

TEST(a_failure_leaves_nothing) {
  const TemporaryFolder folder;
  WriteText(folder / "taken", "");
  const size_t before = OpenDescriptors();
  const auto taken = Open(folder / "taken");
  CHECK(!taken.Ok() && taken.Error().number == EADDRINUSE);
  const auto missing = Open(folder / "no/v");
  CHECK(!missing.Ok() && missing.Error().number == ENOENT);
  const auto long_name = Open(folder / std::string(108, 'n'));
  CHECK(!long_name.Ok() && long_name.Error().number == ENAMETOOLONG);
  CHECK(OpenDescriptors() == before);
}

TEST(a_close_ends_the_waits_and_removes_the_file) {
  const TemporaryFolder folder;
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 300; ++i) {
    const ListenerPtr listener = Open(folder / "v_1").Value();
    Ends ends;
    const auto first = AcceptWait::Begin(listener, {folder / "v_1", {}, {}}, ends.Callback());
    AcceptWait::Begin(listener, {folder / "v_1", {}, {}}, ends.Callback());
    if (i % 2 == 0) first->Cancel();
    Close(listener);
    for (const WaitEnd& end : ends.Await(2)) CHECK(NumberOf(end) == EBADF || NumberOf(end) == ECANCELED);
    CHECK(!Exists(folder / "v_1"));
    AcceptWait::Begin(listener, {folder / "v_1", {}, {}}, ends.Callback());
    CHECK(NumberOf(ends.AwaitOne()) == EBADF);
  }
  CHECK(OpenDescriptors() == before);
}

TEST(a_close_leaves_another_file_of_the_same_name) {
  const TemporaryFolder folder;
  const ListenerPtr listener = Open(folder / "v_1").Value();
  CHECK(rename((folder / "v_1").c_str(), (folder / "moved").c_str()) == 0);
  const ListenerPtr other = Open(folder / "v_1").Value();
  Close(listener);
  CHECK(Exists(folder / "v_1"));
  Close(other);
  CHECK(!Exists(folder / "v_1"));
}

RUN_TESTS()
