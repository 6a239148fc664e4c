#include "etc_folder.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "proc_file.h"

namespace microvm::agent {
namespace {

UniqueFd OpenInRoot(int root_fd, const char* name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const long fd = syscall(SYS_openat2, root_fd, name, &how, sizeof(how));
  if (fd >= 0 || errno != ENOSYS) return UniqueFd(static_cast<int>(fd));
  // Linux before 5.6: no link is followed at all.
  return UniqueFd(openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Nothing of an image can be kept there.
bool IsOfKernel(int fd) {
  struct statfs facts {};
  if (fstatfs(fd, &facts) != 0) return true;
  return facts.f_type == PROC_SUPER_MAGIC || facts.f_type == SYSFS_MAGIC ||
         facts.f_type == CGROUP2_SUPER_MAGIC;
}

// Empty where the pool has nothing yet: a boot does not wait for it.
std::string NewMachineId() {
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(bytes))) return {};
  std::string id;
  for (const unsigned char byte : bytes) {
    char digits[3];
    snprintf(digits, sizeof(digits), "%02x", byte);
    id += digits;
  }
  return id + "\n";
}

}  // namespace

UniqueFd OpenEtc(int root_fd) {
  if (mkdirat(root_fd, "etc", 0755) != 0 && errno != EEXIST) return UniqueFd();
  UniqueFd etc = OpenInRoot(root_fd, "etc");
  if (!etc || !IsOfKernel(etc.Get())) return etc;
  errno = ENOENT;
  return UniqueFd();
}

int ReplaceFile(int folder_fd, const char* name, std::string_view text) {
  const std::string staged = "." + std::string(name) + ".new";
  unlinkat(folder_fd, staged.c_str(), 0);
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const UniqueFd file(openat(folder_fd, staged.c_str(), flags, 0644));
  if (!file) return errno;
  const ssize_t written = write(file.Get(), text.data(), text.size());
  int error = written < 0 ? errno : static_cast<size_t>(written) < text.size() ? EIO : 0;
  if (error == 0 && renameat(folder_fd, staged.c_str(), folder_fd, name) != 0) error = errno;
  if (error != 0) unlinkat(folder_fd, staged.c_str(), 0);
  return error;
}

void WriteIdentity(int root_fd, std::string_view host_name) {
  const UniqueFd etc = OpenEtc(root_fd);
  if (!etc) {
    Log("microvm-agent: the image has no place for /etc: %s", strerror(errno));
    return;
  }
  const std::string name(host_name);
  const struct {
    const char* name;
    std::string text;
  } files[] = {
      {"hostname", name + "\n"},
      {"hosts",
       "127.0.0.1\tlocalhost\n127.0.1.1\t" + name +
           "\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"},
      {"machine-id", NewMachineId()},
  };
  for (const auto& file : files) {
    const int error = file.text.empty() ? EAGAIN : ReplaceFile(etc.Get(), file.name, file.text);
    if (error != 0) Log("microvm-agent: /etc/%s of the image: %s", file.name, strerror(error));
  }
}

}  // namespace microvm::agent
