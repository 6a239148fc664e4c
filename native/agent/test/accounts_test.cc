#include "accounts.h"

#include <cerrno>
#include <random>
#include <string>

#include "check.h"

namespace {

using microvm::agent::Account;
using microvm::agent::FindAccount;

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "\n"
    ":x:1:1::/nameless:\n"
    "half:x:12\n"
    "big:x:4294967295:1::/:\n"
    "minus:x:-1:1::/:\n"
    "me:x:4001:4002:Me:/home/me:/bin/my-shell\n"
    "4001:x:4009:4009:digits\n"
    "last:x:7:8";
constexpr const char* kGroup =
    "root:x:0:me\n"
    "mine:x:4002:me\n"
    "wheel:x:4010:you,me,me\n"
    "some:x:4011:men,,m\n"
    "lost:x:none:me\n"
    "disk:x:5:me";

int Find(const char* who, Account* account) {
  *account = {};
  return FindAccount(who, kPasswd, kGroup, account);
}

void FindsByNameThenByNumber() {
  Account account;
  CHECK(Find("me", &account) == 0);
  CHECK(account.uid == 4001 && account.gid == 4002 && account.name == "me");
  CHECK(account.home == "/home/me" && account.shell == "/bin/my-shell");
  CHECK((account.groups == std::vector<gid_t>{0, 5, 4010}));
  CHECK(Find("4001", &account) == 0 && account.uid == 4009 && account.home == "/" && account.groups.empty());
  CHECK(Find("7", &account) == 0 && account.name == "last" && account.gid == 8);
  CHECK(Find("500", &account) == 0 && account.name.empty() && account.uid == 500 && account.gid == 500);
}

void TakesAGroupAlone() {
  Account account;
  CHECK(Find("me:wheel", &account) == 0 && account.gid == 4010 && account.groups.empty());
  CHECK(Find("me:9", &account) == 0 && account.gid == 9);
  CHECK(Find("9:disk", &account) == 0 && account.uid == 9 && account.gid == 5);
}

void RefusesWhomItDoesNotKnow() {
  Account account;
  for (const char* who : {"you", "half", "big", "minus", "me:lost", "me:", "me:wheel:x", "4294967295",
                          "99999999999", "-1", " me"})
    CHECK(Find(who, &account) == ENOENT);
  CHECK(Find("", &account) == EINVAL && Find(":wheel", &account) == EINVAL);
}

// Both files are the guest's: whatever is in them, nothing outside of them is read.
void ReadsAnything() {
  std::mt19937 random(11);
  constexpr char kAlphabet[] = "ab:,\n01:\n:";
  for (int round = 0; round < 20000; round++) {
    std::string texts[3];
    for (std::string& text : texts) {
      text.resize(random() % 40);
      for (char& byte : text) byte = kAlphabet[random() % (sizeof(kAlphabet) - 1)];
    }
    Account account;
    const int error = FindAccount(texts[0], texts[1], texts[2], &account);
    CHECK(error == 0 || error == ENOENT || error == EINVAL);
    CHECK(error != 0 || (account.uid != 0xFFFFFFFF && account.gid != 0xFFFFFFFF && !account.home.empty()));
  }
}

}  // namespace

int main() {
  FindsByNameThenByNumber();
  TakesAGroupAlone();
  RefusesWhomItDoesNotKnow();
  ReadsAnything();
}
