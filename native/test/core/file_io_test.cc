#include "core/file_io.h"

#include "check.h"
#include "core/errno_name.h"

using namespace microvm::core;

namespace {

bool SplitsInto(const char* path, const char* directory, const char* name) {
  const SplitPath split = Split(path);
  return split.directory == directory && split.name == name;
}

}  // namespace

TEST(splits_paths_at_the_last_slash) {
  CHECK(SplitsInto("/a/b", "/a", "b"));
  CHECK(SplitsInto("/a", "/", "a"));
  CHECK(SplitsInto("a", ".", "a"));
  CHECK(SplitsInto("a/b/", "a", "b"));
  CHECK(SplitsInto("/", "/", ""));
  CHECK(SplitsInto("//", "/", ""));
  CHECK(SplitsInto("", ".", ""));
}

TEST(reads_no_more_than_the_limit) {
  const microvm::test::TemporaryFolder folder;
  microvm::test::WriteText(folder / "f", std::string(10000, 'x'));
  CHECK(ReadSmallFile(folder / "f", 20000).Value().size() == 10000);
  CHECK(ReadSmallFile(folder / "f", 5000).Value().size() == 5000);
  auto missing = ReadSmallFile(folder / "g", 10);
  CHECK(!missing.Ok() && missing.Error().number == ENOENT && missing.Error().path == folder / "g");
}

TEST(opens_close_on_exec) {
  auto fd = OpenFile("/dev/null", O_RDONLY);
  CHECK((fcntl(fd.Value().Get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST(random_names_differ) {
  const std::string name = RandomHex16();
  CHECK(name.size() == 16);
  CHECK(name.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(name != RandomHex16());
}

TEST(names_errors_as_node_does) {
  CHECK(ErrnoName(ENOENT) == "ENOENT");
  CHECK(ErrnoName(EAGAIN) == "EAGAIN");
  CHECK(ErrnoName(ENOTSUP) == "ENOTSUP");
  CHECK(ErrnoName(9999) == "ERRNO_9999");
  CHECK(ErrnoText(ENOENT) == "no such file or directory");
}

RUN_TESTS()
