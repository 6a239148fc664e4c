#include "guest/root.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "guest/archive.h"
#include "proc_file.h"

namespace microvm::fake {
namespace {

constexpr const char* kFolders[] = {"proc", "sys", "dev",  "dev/pts", "dev/shm",
                                    "run",  "tmp", "root", "etc",     "mnt"};
constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};
constexpr const char* kCommandLine = "dev/.cmdline";
// Where /proc/sysrq-trigger is missing, as in a host kernel without it, only this one is there.
constexpr const char* kSysrq = "dev/sysrq";

struct Link {
  const char* target;
  const char* path;
};
constexpr Link kLinks[] = {{"/proc/self/fd", "dev/fd"},
                           {"/proc/self/fd/0", "dev/stdin"},
                           {"/proc/self/fd/1", "dev/stdout"},
                           {"/proc/self/fd/2", "dev/stderr"},
                           {"pts/ptmx", "dev/ptmx"}};

std::string Failed(const char* what) { return std::string(what) + ": " + strerror(errno); }

bool Bind(const char* from, const char* to) { return mount(from, to, nullptr, MS_BIND, nullptr) == 0; }

void BindDevices() {
  for (const char* name : kDevices) {
    const std::string inside = std::string("dev/") + name;
    const UniqueFd file(open(inside.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    Bind((std::string("/dev/") + name).c_str(), inside.c_str());
  }
  mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666");
  for (const Link& link : kLinks) [[maybe_unused]] const int made = symlink(link.target, link.path);
}

// The kernel's own files that a guest reads of itself or asks itself to end by.
void BindKernelFiles(const BootMessage& boot, int* sysrq) {
  agent::WriteSmallFile(kCommandLine, std::string(boot.command_line) + "\n");
  Bind(kCommandLine, "proc/cmdline");
  unlink(kSysrq);
  if (mkfifo(kSysrq, 0200) != 0 || chmod(kSysrq, 0200) != 0) return;
  Bind(kSysrq, "proc/sysrq-trigger");
  // For reading alone: a signal is sent for what is written, and for what is read to those who could write.
  *sysrq = open(kSysrq, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

void BringUpLoopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ioctl(fd.Get(), SIOCSIFFLAGS, &request);
}

}  // namespace

std::string MountRoot(std::string_view archive, const BootMessage& boot, int* sysrq) {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return Failed("mounts of its own");
  const std::string size = "mode=0755,size=" + std::to_string(boot.memory_bytes / 2);
  if (mount("rootfs", "/tmp", "tmpfs", 0, size.c_str()) != 0) return Failed("mounting the root folder");
  if (chdir("/tmp") != 0) return Failed("the root folder");
  umask(0);
  if (!archive.empty() && !UnpackArchive(archive) && boot.is_restore)
    return Failed("unpacking the files of the guest");
  for (const char* folder : kFolders) mkdir(folder, 0755);
  // While the host's is still in sight: the kernel gives a /proc only to those who have one.
  if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return Failed("mounting /proc");
  BindDevices();
  BindKernelFiles(boot, sysrq);
  umask(022);
  // Over each other, and the host's is under it: proc_pid_root(5), pivot_root(2), "pivot_root(".", ".")".
  if (syscall(SYS_pivot_root, ".", ".") != 0) return Failed("entering the root folder");
  if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) return Failed("leaving the host's files");
  BringUpLoopback();
  return {};
}

}  // namespace microvm::fake
