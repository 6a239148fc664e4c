#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace microvm::agent {

// Who a command runs as.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary ones, without `gid`
  std::string name;           // empty for a number that has no entry
  std::string home;
  std::string shell;
};

// Looks `who` up: `user` or `user:group`, each a name or a number; a name that consists of digits wins over
// the number. A user without a group has the groups that the guest's files give to it; with one it has that
// group and no other. A number without an entry has the group of the same number, and `/` for its home.
//
// The parser is our own: libc's cannot be linked statically, as it loads modules of the system that it was
// built on. `passwd` and `group` are the text of files that a guest's image brings; a line that is not
// understood is skipped. Answers 0, EINVAL for a `who` without a user, or ENOENT.
int FindAccount(std::string_view who, std::string_view passwd, std::string_view group, Account* account);

// The same in /etc/passwd and /etc/group; a missing file is an empty one. EFBIG: one has more than 1 MiB.
int ReadAccount(std::string_view who, Account* account);

}  // namespace microvm::agent
