#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "check.h"
#include "identity.h"
#include "proc_file.h"

namespace {

using namespace microvm::agent;

const std::string kFirst(32, 'a');
const std::string kSecond(32, 'b');

// A root of a guest, in memory, with a /run of its own.
class Root {
 public:
  Root() {
    CHECK(mkdtemp(path_) != nullptr);
    CHECK(mount("root", path_, "tmpfs", 0, nullptr) == 0);
    CHECK(mkdir(In("/run").c_str(), 0755) == 0);
    CHECK(mount("run", In("/run").c_str(), "tmpfs", 0, nullptr) == 0);
  }
  ~Root() {
    CHECK(umount2(path_, MNT_DETACH) == 0);
    CHECK(rmdir(path_) == 0);
  }

  std::string In(const char* path) const { return path_ + std::string(path); }
  void MakeReadOnly() {
    CHECK(mount(nullptr, path_, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0);
  }
  std::string MachineId() const { return ReadSmallFile(In("/etc/machine-id").c_str()); }
  int Set(const std::string& id) const { return SetMachineIdBelow(path_, id); }

 private:
  char path_[32] = "/tmp/microvm-root-XXXXXX";
};

void IsWrittenWhereTheRootCanBeWrittenTo() {
  const Root root;
  CHECK(root.Set(kFirst) == 0 && root.MachineId() == kFirst + "\n");
  CHECK(root.Set(kSecond) == 0 && root.MachineId() == kSecond + "\n");
  CHECK(access(root.In("/etc/.machine-id.new").c_str(), F_OK) != 0);
}

void IsBoundOverTheFileOfARootThatIsReadOnlyAsOftenAsItIsSet() {
  Root root;
  CHECK(root.Set("of the image") == 0);
  root.MakeReadOnly();
  CHECK(root.Set(kFirst) == 0 && root.MachineId() == kFirst + "\n");
  CHECK(root.Set(kSecond) == 0 && root.MachineId() == kSecond + "\n");
}

// As systemd does it where the root is read-only at boot.
void IsWrittenIntoTheFileThatTheInitHasBound() {
  const Root root;
  CHECK(root.Set("of the image") == 0);
  CHECK(WriteSmallFile(root.In("/run/machine-id").c_str(), "of the init\n") == 0);
  CHECK(mount(root.In("/run/machine-id").c_str(), root.In("/etc/machine-id").c_str(), nullptr, MS_BIND,
              nullptr) == 0);
  CHECK(root.Set(kFirst) == 0 && root.MachineId() == kFirst + "\n");
}

void HasNoPlaceWhereTheRootHasNone() {
  Root without_file;
  CHECK(mkdir(without_file.In("/etc").c_str(), 0755) == 0);
  without_file.MakeReadOnly();
  CHECK(without_file.Set(kFirst) == 0);
  Root without_folder;
  without_folder.MakeReadOnly();
  CHECK(without_folder.Set(kFirst) == 0);
}

}  // namespace

int main() {
  // Mounts of its own; as root of a user namespace where it is not root.
  if (unshare(CLONE_NEWNS | (getuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    std::printf("machine id: skipped, no mount namespace may be made here (errno %d)\n", errno);
    return 0;
  }
  IsWrittenWhereTheRootCanBeWrittenTo();
  IsBoundOverTheFileOfARootThatIsReadOnlyAsOftenAsItIsSet();
  IsWrittenIntoTheFileThatTheInitHasBound();
  HasNoPlaceWhereTheRootHasNone();
  std::puts("machine id: ok");
}
