#include "accounts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "unique_fd.h"

namespace microvm::agent {
namespace {

constexpr size_t kMaxFile = 1 << 20;
// -1 means "leave it" to the kernel.
constexpr uint64_t kMaxId = 0xFFFFFFFE;
constexpr size_t kMaxFields = 7;

std::optional<uint32_t> ParseId(std::string_view text) {
  if (text.empty() || text.size() > 10) return std::nullopt;
  uint64_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(digit - '0');
  }
  if (value > kMaxId) return std::nullopt;
  return static_cast<uint32_t>(value);
}

// Takes the text up to the separator off the front of `rest`.
std::string_view Take(std::string_view* rest, char separator) {
  const size_t end = rest->find(separator);
  const std::string_view taken = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return taken;
}

using Fields = std::array<std::string_view, kMaxFields>;

// Calls `use` for each line until it answers true.
template <typename Use>
bool FindLine(std::string_view text, Use use) {
  while (!text.empty()) {
    std::string_view line = Take(&text, '\n');
    Fields fields;
    for (std::string_view& field : fields) field = Take(&line, ':');
    if (!fields[0].empty() && use(fields)) return true;
  }
  return false;
}

bool TakeUser(const Fields& fields, Account* account) {
  const auto uid = ParseId(fields[2]);
  const auto gid = ParseId(fields[3]);
  if (!uid || !gid) return false;
  account->uid = *uid;
  account->gid = *gid;
  account->name = fields[0];
  account->home = fields[5];
  account->shell = fields[6];
  return true;
}

bool FindUser(std::string_view user, std::string_view passwd, Account* account) {
  if (FindLine(passwd, [&](const Fields& fields) { return fields[0] == user && TakeUser(fields, account); }))
    return true;
  const auto uid = ParseId(user);
  if (!uid) return false;
  if (FindLine(passwd,
               [&](const Fields& fields) { return ParseId(fields[2]) == uid && TakeUser(fields, account); }))
    return true;
  account->uid = *uid;
  account->gid = *uid;
  return true;
}

std::optional<gid_t> FindGroup(std::string_view name, std::string_view group) {
  std::optional<gid_t> found;
  FindLine(group, [&](const Fields& fields) {
    if (fields[0] == name) found = ParseId(fields[2]);
    return found.has_value();
  });
  return found ? found : ParseId(name);
}

void AddGroups(std::string_view group, Account* account) {
  FindLine(group, [&](const Fields& fields) {
    const auto gid = ParseId(fields[2]);
    std::string_view members = fields[3];
    while (gid && !members.empty()) {
      if (Take(&members, ',') == account->name) account->groups.push_back(*gid);
    }
    return false;
  });
  std::vector<gid_t>& groups = account->groups;
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  groups.erase(std::remove(groups.begin(), groups.end(), account->gid), groups.end());
}

int ReadWhole(const char* path, std::string* text) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return errno == ENOENT ? 0 : errno;
  text->resize(kMaxFile + 1);
  size_t size = 0;
  while (size < text->size()) {
    const ssize_t got = read(fd.Get(), text->data() + size, text->size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kMaxFile) return EFBIG;
  text->resize(size);
  return 0;
}

}  // namespace

int FindAccount(std::string_view who, std::string_view passwd, std::string_view group, Account* account) {
  const size_t colon = who.find(':');
  const std::string_view user = who.substr(0, colon);
  if (user.empty()) return EINVAL;
  if (!FindUser(user, passwd, account)) return ENOENT;
  if (account->home.empty()) account->home = "/";
  if (colon == std::string_view::npos) {
    if (!account->name.empty()) AddGroups(group, account);
    return 0;
  }
  const auto gid = FindGroup(who.substr(colon + 1), group);
  if (!gid) return ENOENT;
  account->gid = *gid;
  return 0;
}

int ReadAccount(std::string_view who, Account* account) {
  std::string passwd;
  std::string group;
  if (const int error = ReadWhole("/etc/passwd", &passwd); error != 0) return error;
  if (const int error = ReadWhole("/etc/group", &group); error != 0) return error;
  return FindAccount(who, passwd, group, account);
}

}  // namespace microvm::agent
