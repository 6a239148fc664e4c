#include "command_cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "check.h"

namespace {

using namespace microvm::agent;
using microvm::UniqueFd;

// A cgroup of this test's own; its folder is empty where there is no cgroup v2 that may be written to.
class Workload {
 public:
  Workload() {
    for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      const std::string folder = std::string(root) + "/microvm-agent-test-" + std::to_string(getpid());
      if (mkdir(folder.c_str(), 0755) != 0) continue;
      if (access((folder + "/cgroup.procs").c_str(), W_OK) == 0 &&
          access((folder + "/cgroup.events").c_str(), R_OK) == 0) {
        folder_ = folder;
        fd_ = UniqueFd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return;
      }
      rmdir(folder.c_str());
    }
  }
  ~Workload() {
    if (valid()) CHECK(rmdir(folder_.c_str()) == 0);
  }

  bool valid() const { return !folder_.empty(); }
  int fd() const { return fd_.Get(); }

 private:
  std::string folder_;
  UniqueFd fd_;
};

// A child in the cgroup that starts another one in a session of its own. Both wait for a signal; the pipe
// that is answered ends when both are gone.
UniqueFd StartPair(const CommandCgroup& cgroup, pid_t* child) {
  const UniqueFd procs = cgroup.OpenProcs();
  CHECK(procs);
  int ready[2];
  int alive[2];
  CHECK(pipe2(ready, O_CLOEXEC) == 0 && pipe2(alive, O_CLOEXEC) == 0);
  *child = fork();
  CHECK(*child >= 0);
  if (*child == 0) {
    if (write(procs.Get(), "0", 1) != 1) _exit(1);
    if (fork() == 0) {
      setsid();
      if (write(ready[1], "x", 1) != 1) _exit(1);
    }
    while (true) pause();
  }
  close(ready[1]);
  close(alive[1]);
  char byte;
  CHECK(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  return UniqueFd(alive[0]);
}

template <typename Kill>
void KillEndsWhatHasLeftTheGroup(const Workload& workload, Kill kill_all) {
  CommandCgroup cgroup(workload.fd(), "a");
  CHECK(cgroup.valid());
  pid_t child = 0;
  const UniqueFd alive = StartPair(cgroup, &child);
  CHECK(!cgroup.Remove());
  CHECK(kill_all(cgroup));
  char byte;
  CHECK(read(alive.Get(), &byte, 1) == 0);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  // The grandchild's reaper is somebody else, who may be slow.
  while (!cgroup.Remove()) usleep(1000);
  CHECK(!cgroup.valid() && cgroup.Remove());
}

void WithoutCgroupNothingIsClaimed() {
  CommandCgroup none;
  CommandCgroup missing(-1, "a");
  CHECK(!none.valid() && !missing.valid());
  CHECK(!none.OpenProcs() && !none.Kill() && !none.SignalEach(SIGKILL) && none.Remove());
}

}  // namespace

int main() {
  WithoutCgroupNothingIsClaimed();
  const Workload workload;
  if (!workload.valid()) {
    std::puts("command cgroup: skipped, there is no cgroup v2 here that this user may write to");
    return 0;
  }
  KillEndsWhatHasLeftTheGroup(workload, [](const CommandCgroup& cgroup) { return cgroup.Kill(); });
  KillEndsWhatHasLeftTheGroup(workload,
                              [](const CommandCgroup& cgroup) { return cgroup.SignalEach(SIGKILL); });
  std::puts("command cgroup: ok");
}
