#include "etc_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "check.h"
#include "folder_tree.h"
#include "proc_file.h"

namespace {

using namespace microvm;
using namespace microvm::agent;

// A folder with the root of an image and a folder outside of it.
class Scene {
 public:
  Scene() {
    CHECK(mkdtemp(path_) != nullptr);
    CHECK(mkdir(In("/root").c_str(), 0755) == 0 && mkdir(In("/outside").c_str(), 0755) == 0);
    root_ = UniqueFd(open(In("/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    CHECK(root_.Get() >= 0);
  }
  ~Scene() {
    EmptyFolder(UniqueFd(open(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC)).Get());
    CHECK(rmdir(path_) == 0);
  }
  std::string In(const std::string& path) const { return path_ + path; }
  int root() const { return root_.Get(); }
  bool Has(const std::string& path) const { return access(In(path).c_str(), F_OK) == 0; }

 private:
  char path_[32] = "/tmp/microvm-etc-XXXXXX";
  UniqueFd root_;
};

void IsMadeWhereItIsAbsent() {
  const Scene scene;
  WriteIdentity(scene.root(), "name");
  CHECK(ReadSmallFile(scene.In("/root/etc/hostname").c_str()) == "name\n");
  CHECK(ReadSmallFile(scene.In("/root/etc/hosts").c_str()).find("127.0.1.1\tname\n") != std::string::npos);
  const std::string id = ReadSmallFile(scene.In("/root/etc/machine-id").c_str());
  CHECK(id.size() == 33 && id.find_first_not_of("0123456789abcdef") == 32);
  WriteIdentity(scene.root(), "name");
  CHECK(ReadSmallFile(scene.In("/root/etc/machine-id").c_str()) != id);
}

void ALinkIsFollowedWithinTheRoot() {
  const Scene scene;
  CHECK(mkdir(scene.In("/root/usr").c_str(), 0755) == 0 &&
        mkdir(scene.In("/root/usr/etc").c_str(), 0755) == 0);
  CHECK(symlink("/usr/etc", scene.In("/root/etc").c_str()) == 0);
  WriteIdentity(scene.root(), "name");
  CHECK(ReadSmallFile(scene.In("/root/usr/etc/hostname").c_str()) == "name\n");
}

void NoLinkLeadsOutOfTheRoot() {
  for (const bool is_absolute : {false, true}) {
    const Scene scene;
    const std::string target = is_absolute ? scene.In("/outside") : "../outside";
    CHECK(symlink(target.c_str(), scene.In("/root/etc").c_str()) == 0);
    CHECK(!OpenEtc(scene.root()));
    WriteIdentity(scene.root(), "name");
    CHECK(!scene.Has("/outside/hostname"));
  }
}

void AFileOfTheImageThatIsALinkIsReplaced() {
  const Scene scene;
  CHECK(mkdir(scene.In("/root/etc").c_str(), 0755) == 0);
  CHECK(WriteSmallFile(scene.In("/outside/victim").c_str(), "old") == 0);
  for (const char* name : {"/root/etc/hostname", "/root/etc/.hostname.new"})
    CHECK(symlink(scene.In("/outside/victim").c_str(), scene.In(name).c_str()) == 0);
  WriteIdentity(scene.root(), "name");
  CHECK(ReadSmallFile(scene.In("/outside/victim").c_str()) == "old");
  CHECK(ReadSmallFile(scene.In("/root/etc/hostname").c_str()) == "name\n");
  CHECK(!scene.Has("/root/etc/.hostname.new"));
}

void WhatIsNoFolderIsNoPlace() {
  const Scene scene;
  CHECK(WriteSmallFile(scene.In("/root/etc").c_str(), "a file") == 0);
  CHECK(!OpenEtc(scene.root()) && errno == ENOTDIR);
  const Scene dangling;
  CHECK(symlink("nothing", dangling.In("/root/etc").c_str()) == 0);
  CHECK(!OpenEtc(dangling.root()) && errno == ENOENT);
}

void ATreeIsCopiedAndRemoved() {
  const Scene scene;
  CHECK(mkdir(scene.In("/root/app").c_str(), 0755) == 0 && chmod(scene.In("/root/app").c_str(), 02770) == 0);
  CHECK(WriteSmallFile(scene.In("/root/app/small").c_str(), "text") == 0);
  CHECK(WriteSmallFile(scene.In("/root/app/large").c_str(), std::string(70000, 'x')) == 0);
  CHECK(symlink("/outside", scene.In("/root/link").c_str()) == 0);
  const UniqueFd from(open(scene.In("/root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd to(open(scene.In("/outside").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CopySmallTree(from.Get(), to.Get());
  struct stat facts {};
  CHECK(stat(scene.In("/outside/app").c_str(), &facts) == 0 && (facts.st_mode & 07777) == 02770);
  CHECK(ReadSmallFile(scene.In("/outside/app/small").c_str()) == "text" && !scene.Has("/outside/app/large"));
  CHECK(lstat(scene.In("/outside/link").c_str(), &facts) == 0 && S_ISLNK(facts.st_mode));
  EmptyFolder(from.Get());
  CHECK(!scene.Has("/root/app") && scene.Has("/root") && scene.Has("/outside/app/small"));
}

}  // namespace

int main() {
  IsMadeWhereItIsAbsent();
  ALinkIsFollowedWithinTheRoot();
  NoLinkLeadsOutOfTheRoot();
  AFileOfTheImageThatIsALinkIsReplaced();
  WhatIsNoFolderIsNoPlace();
  ATreeIsCopiedAndRemoved();
  std::puts("etc folder: ok");
}
