#include "secret_store.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "agent.h"
#include "check.h"
#include "proc_file.h"
#include "protocol.h"

namespace {

using namespace microvm::agent;

bool Decode(const Bytes& bytes, SecretsRequest* request) {
  *request = {};
  PayloadReader in(bytes.data(), bytes.size());
  return DecodeSecrets(&in, request);
}

void DecodesWhatIsRight() {
  SecretsRequest request;
  PayloadWriter out;
  out.U16(1)
      .Text("kept", 64)
      .U16(1)
      .Text("a.b-C_1", 64)
      .Text("me:wheel", 64)
      .Text(std::string("v\0v", 3), 64);
  const Bytes bytes = out.bytes();
  CHECK(Decode(bytes, &request));
  CHECK(request.keep.size() == 1 && request.keep[0] == "kept" && request.give.size() == 1);
  CHECK(request.give[0].name == "a.b-C_1" && request.give[0].owner == "me:wheel");
  CHECK(request.give[0].value == std::string_view("v\0v", 3));
}

void RefusesWhatIsWrong() {
  SecretsRequest request;
  for (const char* name : {"", ".", "..", ".new", "-x", "a/b", "a b", "\xc3\xa4"}) {
    CHECK(!Decode(PayloadWriter().U16(1).Text(name, 64).U16(0).bytes(), &request));
    CHECK(!Decode(PayloadWriter().U16(0).U16(1).Text(name, 64).Text("", 1).Text("v", 1).bytes(), &request));
  }
  CHECK(!Decode(PayloadWriter().U16(1).Text(std::string(65, 'x'), 99).U16(0).bytes(), &request));
  CHECK(!Decode(PayloadWriter().U16(2).Text("a", 1).Text("a", 1).U16(0).bytes(), &request));
  CHECK(!Decode(PayloadWriter().U16(1).Text("a", 1).U16(1).Text("a", 1).Text("", 1).Text("", 1).bytes(),
                &request));
  CHECK(!Decode(PayloadWriter().U16(65).bytes(), &request));
  CHECK(!Decode(PayloadWriter().U16(0).U16(0).U8(0).bytes(), &request));
  const std::string longest(kMaxSecret, 'x');
  const auto of_size = [&](const std::string& value) {
    return PayloadWriter().U16(0).U16(1).Text("a", 1).Text("", 1).Text(value, value.size()).bytes();
  };
  const Bytes fits = of_size(longest);
  CHECK(Decode(fits, &request));
  CHECK(!Decode(of_size(longest + "x"), &request));
}

void TakesNoneWithoutAFolder() {
  SecretStore store;
  CHECK(store.Apply({{}, {}}).error == 0);
  CHECK(store.Apply({{}, {{"a", "", "v"}}}).error == EOPNOTSUPP);
  CHECK(store.Apply({{"a"}, {}}).error == ENOENT);
}

std::string ValueOf(const SecretStore& store, const char* name) {
  std::string value = "A=";
  return store.Read(name, &value) == 0 ? value : "";
}

mode_t ModeOf(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 ? found.st_mode & 07777 : 0;
}

// In mounts of its own, which end with this process.
void KeepsThemInMemory() {
  const uid_t uid = geteuid();
  if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    printf("SKIPPED: no mounts of its own: errno %d\n", errno);
    return;
  }
  if (uid != 0) CHECK(WriteSmallFile("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1") == 0);
  CHECK(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  char folder[] = "/tmp/microvm-secrets-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::string path(folder);
  SecretStore store;
  store.UseFolder(path);
  CHECK(store.Apply({{}, {{"a", "", "one"}, {"b", "", std::string_view("b\0b", 3)}}}).error == 0);
  CHECK(ModeOf(path) == 0711 && ModeOf(path + "/a") == 0600);
  CHECK(ValueOf(store, "a") == "A=one");
  std::string value;
  CHECK(store.Read("b", &value) == EINVAL && store.Read("c", &value) == ENOENT);
  // Replaced, kept, removed.
  CHECK(store.Apply({{"b"}, {{"a", "", "two"}}}).error == 0);
  CHECK(ValueOf(store, "a") == "A=two" && ModeOf(path + "/b") == 0600);
  const SecretFailure unknown = store.Apply({{"c"}, {{"a", "", "three"}}});
  CHECK(unknown.error == ENOENT && std::string(unknown.step) == "keep" && ValueOf(store, "a") == "A=two");
  const SecretFailure nobody = store.Apply({{}, {{"a", "no-such-user", "three"}}});
  CHECK(nobody.error == ENOENT && std::string(nobody.step) == "owner" && ValueOf(store, "a") == "A=two");
  CHECK(store.Apply({{}, {}}).error == 0);
  CHECK(ModeOf(path + "/a") == 0 && ModeOf(path + "/b") == 0 && store.Read("a", &value) == ENOENT);
  CHECK(umount2(folder, MNT_DETACH) == 0 && rmdir(folder) == 0);
}

void LeavesNoCoreFile() {
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  const Agent agent({});
  CHECK(prctl(PR_GET_DUMPABLE) == 0);
}

}  // namespace

int main() {
  DecodesWhatIsRight();
  RefusesWhatIsWrong();
  TakesNoneWithoutAFolder();
  KeepsThemInMemory();
  LeavesNoCoreFile();
}
