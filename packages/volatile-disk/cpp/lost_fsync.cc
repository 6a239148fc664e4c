// A fault to plant by LD_PRELOAD: a program that forgets one kind of fsync. LOST_FSYNC says which: `folder`
// or `file`, a colon, and a part of the path of what is synced. The program is told that all went well.
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool IsLost(int fd) {
  const char* which = std::getenv("LOST_FSYNC");
  const char* colon = which == nullptr ? nullptr : std::strchr(which, ':');
  struct stat status {};
  if (colon == nullptr || fstat(fd, &status) != 0) return false;
  const char* kind = S_ISDIR(status.st_mode) ? "folder" : "file";
  if (std::strncmp(which, kind, std::strlen(kind)) != 0) return false;
  char link[64];
  char path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return false;
  path[size] = '\0';
  return std::strstr(path, colon + 1) != nullptr;
}

int Sync(const char* name, int fd) {
  if (IsLost(fd)) return 0;
  // SAFETY: both functions that come here have this type.
  const auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, name));
  return real(fd);
}

}  // namespace

extern "C" {
int fsync(int fd) { return Sync("fsync", fd); }
int fdatasync(int fd) { return Sync("fdatasync", fd); }
}
