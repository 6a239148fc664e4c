#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "core/remove_tree.h"

// A test program: TEST(name) { CHECK(…); } … RUN_TESTS()
namespace microvm::test {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}
inline int& Failures() {
  static int failures = 0;
  return failures;
}

// Kills a child of the test and waits for its end. The number of a failed fork, -1, would reach every
// process.
inline void EndChild(pid_t child) {
  if (child <= 0) return;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

struct Registration {
  Registration(const char* name, void (*run)()) { Tests().push_back({name, run}); }
};

inline void Fail(const char* file, int line, const std::string& what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  ++Failures();
}

inline int RunTests() {
  for (const Test& test : Tests()) {
    const int before = Failures();
    test.run();
    printf("%s %s\n", Failures() == before ? "ok  " : "FAIL", test.name);
    fflush(stdout);
  }
  return Failures() == 0 ? 0 : 1;
}

// A folder of its own for a test, removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/microvm-native-XXXXXX";
    path_ = mkdtemp(name);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { static_cast<void>(core::RemoveTree(path_)); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& Path() const { return path_; }

 private:
  std::string path_;
};

inline std::string ReadText(const std::string& path) {
  auto text = core::ReadSmallFile(path, 1 << 24);
  return text.Ok() ? text.Value() : "<" + std::string(strerror(text.Error().number)) + ">";
}

inline void WriteText(const std::string& path, const std::string& text) {
  auto file = core::OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file.Ok()) static_cast<void>(core::WriteAll(file.Value().Get(), text, path));
}

inline bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace microvm::test

#define TEST(name)                                                           \
  static void name();                                                        \
  static const microvm::test::Registration registration_##name(#name, name); \
  static void name()
#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : microvm::test::Fail(__FILE__, __LINE__, "CHECK(" #condition ")"))
#define RUN_TESTS() \
  int main() { return microvm::test::RunTests(); }
