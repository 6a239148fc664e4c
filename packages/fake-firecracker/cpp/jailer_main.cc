#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "guest/shell.h"
#include "handover.h"
#include "jailer/cgroups.h"
#include "jailer/failure.h"
#include "process/arguments.h"
#include "process/system.h"
#include "vmm/version.h"

namespace microvm::fake {
namespace {

struct Plan {
  std::string id;
  std::string exec_file;
  std::string exec_name;
  std::string root;
  uid_t uid = 0;
  gid_t gid = 0;
  rlim_t no_file = 2048;
  std::optional<rlim_t> file_size;
  std::string netns;
  bool daemonize = false;
  bool new_pid_ns = false;
  std::vector<std::string> rest;
};

Arguments JailerArguments() {
  return Arguments({{"exec-file", true, true},
                    {"gid", true, true},
                    {"id", true, true},
                    {"uid", true, true},
                    {"cgroup", true, false, nullptr, true},
                    {"cgroup-version", true, false, "1"},
                    {"chroot-base-dir", true, false, "/srv/jailer"},
                    {"daemonize", false},
                    {"help", false},
                    {"netns"},
                    {"new-pid-ns", false},
                    {"parent-cgroup"},
                    {"resource-limit", true, false, nullptr, true},
                    {"version", false}});
}

std::string Canonical(const std::string& path) {
  char real[PATH_MAX];
  if (realpath(path.c_str(), real) == nullptr)
    FailOs("Failed to canonicalize path " + path, "Canonicalize", errno, path);
  return real;
}

template <typename Number>
std::optional<Number> Parse(const std::string& text) {
  Number value{};
  const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

uint32_t Id(const Arguments& arguments, const char* name, const char* kind) {
  const std::string text = arguments.Get(name);
  const std::optional<uint32_t> id = Parse<uint32_t>(text);
  if (!id) Fail(std::string("Invalid ") + name + ": " + text, std::string(kind) + "(\"" + text + "\")");
  return *id;
}

void ReadLimits(const Arguments& arguments, Plan* plan) {
  for (const std::string& text : arguments.All("resource-limit")) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos)
      Fail("Invalid format for resources limits: " + text, "ResLimitFormat(\"" + text + "\")");
    const std::string name = text.substr(0, equals);
    const std::string value = text.substr(equals + 1);
    if (name != "fsize" && name != "no-file")
      Fail("Invalid resource argument: " + name, "ResLimitArgument(\"" + name + "\")");
    const std::optional<uint64_t> limit = Parse<uint64_t>(value);
    if (!limit) {
      const char* why =
          value.empty() ? "cannot parse integer from empty string" : "invalid digit found in string";
      Fail("Invalid limit value for resource: " + value + ": " + why,
           "ResLimitValue(\"" + value + "\", \"" + why + "\")");
    }
    if (name == "fsize") plan->file_size = *limit;
    if (name == "no-file") plan->no_file = *limit;
  }
}

CgroupRequest ReadCgroups(const Arguments& arguments, const Plan& plan) {
  CgroupRequest request;
  const std::string version = arguments.Get("cgroup-version");
  const std::optional<uint8_t> number = Parse<uint8_t>(version);
  if (!number)
    Fail(version + " is an invalid cgroup version specifier", "CgroupInvalidVersion(\"" + version + "\")");
  request.version = *number;
  request.parent = arguments.Has("parent-cgroup") ? arguments.Get("parent-cgroup") : plan.exec_name;
  const std::string padded = "/" + request.parent + "/";
  if ((!request.parent.empty() && request.parent[0] == '/') || padded.find("/../") != std::string::npos ||
      padded.find("/./") != std::string::npos)
    Fail("Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'",
         "CgroupInvalidParentPath");
  request.vm_id = plan.id;
  request.values = arguments.All("cgroup");
  return request;
}

Plan ReadPlan(const Arguments& arguments) {
  Plan plan;
  plan.id = arguments.Get("id");
  std::string debug;
  if (const std::string problem = CheckVmId(plan.id, &debug); !problem.empty())
    Fail("Invalid instance ID: " + problem, "InvalidInstanceId(" + debug + ")");
  plan.exec_file = Canonical(arguments.Get("exec-file"));
  struct stat info {};
  if (stat(plan.exec_file.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
    Fail(plan.exec_file + " is not a file", "NotAFile(\"" + plan.exec_file + "\")");
  plan.exec_name = plan.exec_file.substr(plan.exec_file.rfind('/') + 1);
  const std::string base = Canonical(arguments.Get("chroot-base-dir"));
  if (stat(base.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    Fail(base + " is not a directory", "NotADirectory(\"" + base + "\")");
  plan.root = base + "/" + plan.exec_name + "/" + plan.id + "/root";
  plan.uid = Id(arguments, "uid", "Uid");
  plan.gid = Id(arguments, "gid", "Gid");
  plan.netns = arguments.Get("netns");
  plan.daemonize = arguments.Has("daemonize");
  plan.new_pid_ns = arguments.Has("new-pid-ns");
  plan.rest = arguments.rest();
  return plan;
}

void MakeRoot(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    struct stat info {};
    const bool exists = mkdir(part.c_str(), 0777) != 0;
    const bool usable =
        !exists || (errno == EEXIST && stat(part.c_str(), &info) == 0 && S_ISDIR(info.st_mode));
    if (!usable) FailOs("Failed to create directory " + path, "CreateDir", errno, path);
    if (slash == std::string::npos) return;
  }
}

void CopyProgram(const Plan& plan) {
  const std::string target = plan.root + "/" + plan.exec_name;
  const UniqueFd from(open(plan.exec_file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!from || fstat(from.Get(), &info) != 0)
    FailOs("Failed to open " + plan.exec_file, "Open", errno, plan.exec_file);
  const UniqueFd to(open(target.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, info.st_mode));
  if (!to) FailOs("Failed to open " + target, "Open", errno, target);
  if (fchown(to.Get(), plan.uid, plan.gid) != 0)
    FailOs("Failed to change owner for " + target, "ChangeFileOwner", errno, target);
  for (ssize_t copied = 1; copied > 0;) {
    copied = copy_file_range(from.Get(), nullptr, to.Get(), nullptr, 1u << 30, 0);
    if (copied < 0) FailOs("Failed to copy " + plan.exec_file + " to " + target, "Copy", errno, target);
  }
}

void SetLimits(const Plan& plan) {
  const auto set = [](auto resource, rlim_t value) {
    const rlimit limit{value, value};
    if (setrlimit(resource, &limit) != 0) FailOs("Failed to set limit for resource", "Setrlimit", errno);
  };
  if (plan.file_size) set(RLIMIT_FSIZE, *plan.file_size);
  set(RLIMIT_NOFILE, plan.no_file);
}

void JoinNetworkNamespace(const std::string& path) {
  if (path.empty()) return;
  const UniqueFd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns) FailOs("Failed to open file " + path, "FileOpen", errno, path);
  if (setns(netns.Get(), CLONE_NEWNET) != 0)
    FailOs("Failed to join network namespace: netns", "SetNetNs", errno);
}

// Not a bare chroot: the folder becomes the root of a mount namespace. (In a bare one the kernel refuses user
// namespaces.)
void EnterRoot(const std::string& root) {
  const auto check = [](int result, const char* what) {
    if (result != 0) FailOs(what, "Chroot", errno);
  };
  check(unshare(CLONE_NEWNS), "Failed to unshare into new mount namespace");
  check(mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr),
        "Failed to change the propagation type to slave");
  check(mount(root.c_str(), root.c_str(), nullptr, MS_BIND | MS_REC, nullptr),
        "Failed to bind mount the jail root directory");
  check(chdir(root.c_str()), "Failed to change directory");
  check(mkdir("old_root", 0600), "Failed to create the old_root directory");
  check(static_cast<int>(syscall(SYS_pivot_root, ".", "old_root")), "Failed to pivot root");
  check(chdir("/"), "Failed to change directory to new root");
  check(umount2("old_root", MNT_DETACH), "Failed to unmount the old jail root");
  check(rmdir("old_root"), "Failed to remove old jail root directory");
}

void Own(const char* path, const Plan& plan) {
  if (chown(path, plan.uid, plan.gid) != 0)
    FailOs(std::string("Failed to change owner for ") + path, "ChangeFileOwner", errno, path);
}

void MakeNode(const char* path, unsigned major_number, unsigned minor_number, const Plan& plan) {
  if (mknod(path, S_IFCHR | 0600, makedev(major_number, minor_number)) != 0)
    FailOs(std::string("Failed to create ") + path + " via mknod inside the jail", "MknodDev", errno, path);
  Own(path, plan);
}

// The dynamic number of /dev/userfaultfd, from the text of /proc/misc.
std::optional<unsigned> UserfaultfdNumber(const std::string& misc) {
  const size_t name = misc.find(" userfaultfd\n");
  if (name == std::string::npos) return std::nullopt;
  const size_t line = misc.rfind('\n', name);
  return static_cast<unsigned>(
      strtoul(misc.c_str() + (line == std::string::npos ? 0 : line + 1), nullptr, 10));
}

void FillRoot(const Plan& plan, std::optional<unsigned> userfaultfd) {
  for (const char* folder : {"/", "/dev", "/dev/net", "/run"}) {
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
      FailOs(std::string("Failed to create directory ") + folder, "CreateDir", errno, folder);
    if (chmod(folder, 0700) != 0)
      FailOs(std::string("Failed to change permissions on ") + folder, "Chmod", errno, folder);
    Own(folder, plan);
  }
  MakeNode("/dev/net/tun", 10, 200, plan);
  MakeNode("/dev/kvm", 10, 232, plan);
  MakeNode("/dev/urandom", 1, 9, plan);
  if (userfaultfd) MakeNode("/dev/userfaultfd", 10, *userfaultfd, plan);
}

void WritePid(const Plan& plan, pid_t pid) {
  const std::string path = "/" + plan.exec_name + ".pid";
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file) FailOs("Failed to open file " + path, "FileOpen", errno, path);
  WriteAll(file.Get(), std::to_string(pid));
}

uint64_t Microseconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_nsec) / 1000;
}

[[noreturn]] void Become(const Plan& plan, const std::string& faults, int host_mounts, uint64_t start_us) {
  clearenv();
  if (!faults.empty()) setenv(kFaultsVariable, faults.c_str(), 1);
  Shell shell;
  // While the host's files can still be reached: the guest needs a /proc, and there is none in the jail.
  if (SpawnShell({plan.uid == 0 ? 65534 : plan.uid, plan.uid == 0 ? 65534 : plan.gid, host_mounts}, &shell) ==
      0)
    setenv(kGuestVariable, HandOver(std::move(shell)).c_str(), 1);
  if (setgid(plan.gid) != 0 || setgroups(0, nullptr) != 0 || setuid(plan.uid) != 0)
    FailOs("Failed to exec into Firecracker", "Exec", errno);
  const std::string cpu_us = std::to_string(Microseconds(CLOCK_PROCESS_CPUTIME_ID));
  std::vector<std::string> words = {"/" + plan.exec_name,
                                    "--id",
                                    plan.id,
                                    "--start-time-us",
                                    std::to_string(start_us),
                                    "--start-time-cpu-us",
                                    cpu_us,
                                    "--parent-cpu-time-us",
                                    cpu_us};
  words.insert(words.end(), plan.rest.begin(), plan.rest.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(words[0].c_str(), argv.data());
  FailOs("Failed to exec into Firecracker", "Exec", errno);
}

void Daemonize(int null) {
  if (fork() != 0) _exit(0);
  setsid();
  if (fork() != 0) _exit(0);
  for (int fd = 0; fd <= 2; fd++) dup2(null, fd);
}

int Help() {
  WriteAll(
      1,
      std::string("Jailer v") + ThisRelease().version +
          "\n\nrequired arguments:\n  --exec-file --gid --id --uid\n\noptional arguments:\n  --cgroup "
          "--cgroup-version "
          "--chroot-base-dir --daemonize --netns --new-pid-ns --parent-cgroup --resource-limit --version\n");
  return 0;
}

int Main(int argc, char** argv) {
  RememberArguments(argc, argv);
  const uint64_t start_us = Microseconds(CLOCK_MONOTONIC);
  Arguments arguments = JailerArguments();
  if (!arguments.Parse(argc, argv))
    Fail("Failed to parse arguments: " + arguments.message(), "ArgumentParsing(" + arguments.debug() + ")");
  if (arguments.Has("help")) return Help();
  if (arguments.Has("version")) return WriteAll(1, std::string("Jailer v") + ThisRelease().version + "\n\n");
  syscall(SYS_close_range, 3u, UINT_MAX, 0u);
  Plan plan = ReadPlan(arguments);
  ReadLimits(arguments, &plan);
  const Cgroups cgroups(ReadCgroups(arguments, plan));
  std::string faults;
  if (ReadFile((plan.exec_file + kFaultsSuffix).c_str(), &faults) != 0) {
    const char* rules = getenv(kFaultsVariable);
    faults = rules != nullptr ? rules : "";
  }
  std::string misc;
  ReadFile("/proc/misc", &misc);
  MakeRoot(plan.root);
  CopyProgram(plan);
  SetLimits(plan);
  cgroups.Enter();
  JoinNetworkNamespace(plan.netns);
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd host_mounts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  EnterRoot(plan.root);
  FillRoot(plan, UserfaultfdNumber(misc));
  if (plan.daemonize) Daemonize(null.Get());
  if (plan.new_pid_ns) {
    const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
    if (pid < 0) FailOs("Failed to clone into a new PID namespace", "Clone", errno);
    if (pid > 0) {
      WritePid(plan, pid);
      return 0;
    }
  } else {
    WritePid(plan, getpid());
  }
  Become(plan, faults, host_mounts.Get(), start_us);
}

}  // namespace
}  // namespace microvm::fake

int main(int argc, char** argv) { return microvm::fake::Main(argc, argv); }
