#include "secret_store.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "accounts.h"
#include "protocol.h"

namespace microvm::agent {
namespace {

constexpr size_t kMaxSecretName = 64;
constexpr unsigned long kMountFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
// Room for all secrets twice, as a new one is written beside the old one. A user may pass through the folder
// to its own file, and cannot list it.
constexpr const char* kMountData = "mode=0711,size=4m,nr_inodes=256";
// No name of a secret begins with a dot.
constexpr const char* kNewFile = ".new";

bool IsNameByte(char byte) {
  return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
         byte == '_' || byte == '.' || byte == '-';
}

int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// A page that is freed keeps what was in it until somebody else uses it.
void Overwrite(int fd) {
  struct stat now {};
  if (fstat(fd, &now) != 0 || now.st_size > static_cast<off_t>(kMaxSecret)) return;
  const std::string zeros(static_cast<size_t>(now.st_size), '\0');
  [[maybe_unused]] const ssize_t written = pwrite(fd, zeros.data(), zeros.size(), 0);
}

}  // namespace

bool IsSecretName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxSecretName && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), IsNameByte);
}

bool DecodeSecrets(PayloadReader* in, SecretsRequest* request) {
  std::set<std::string_view> names;
  const auto take_name = [&] {
    const std::string_view name = in->Text(kMaxSecretName);
    // None comes twice.
    return in->ok() && IsSecretName(name) && names.insert(name).second ? name : std::string_view();
  };
  const uint16_t kept = in->U16();
  if (kept > kMaxSecrets) return false;
  for (int i = 0; i < kept; i++) {
    request->keep.push_back(take_name());
    if (request->keep.back().empty()) return false;
  }
  const uint16_t given = in->U16();
  if (given > kMaxSecrets) return false;
  for (int i = 0; i < given; i++) {
    GivenSecret secret{take_name(), in->Text(kMaxUser), in->Blob(kMaxSecret)};
    if (secret.name.empty() || !in->ok()) return false;
    request->give.push_back(secret);
  }
  return in->Done();
}

int SecretStore::Open() {
  if (folder_fd_) return 0;
  if (folder_.empty()) return EOPNOTSUPP;
  if (mkdir(folder_.c_str(), 0711) != 0 && errno != EEXIST) return errno;
  // Kernels before 6.4 and user namespaces have no `noswap`.
  const std::string without_swap = std::string(kMountData) + ",noswap";
  if (mount("microvm-secrets", folder_.c_str(), "tmpfs", kMountFlags, without_swap.c_str()) != 0 &&
      mount("microvm-secrets", folder_.c_str(), "tmpfs", kMountFlags, kMountData) != 0) {
    return errno;
  }
  folder_fd_ = UniqueFd(open(folder_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return folder_fd_ ? 0 : errno;
}

SecretFailure SecretStore::Apply(const SecretsRequest& request) {
  for (const std::string_view name : request.keep) {
    if (names_.count(std::string(name)) == 0) return {ENOENT, "keep"};
  }
  std::vector<Account> owners;
  for (const GivenSecret& secret : request.give) {
    Account& owner = owners.emplace_back();
    owner.uid = geteuid();
    owner.gid = getegid();
    if (secret.owner.empty()) continue;
    if (const int error = ReadAccount(secret.owner, &owner); error != 0) return {error, "owner"};
  }
  if (!request.give.empty()) {
    if (const int error = Open(); error != 0) return {error, "folder"};
  }
  std::set<std::string> stay(request.keep.begin(), request.keep.end());
  for (size_t i = 0; i < request.give.size(); i++) {
    if (const int error = Write(request.give[i], owners[i].uid, owners[i].gid); error != 0)
      return {error, "write"};
    stay.insert(std::string(request.give[i].name));
  }
  const std::set<std::string> before = names_;
  for (const std::string& name : before) {
    if (stay.count(name) != 0) continue;
    if (const int error = Remove(name); error != 0) return {error, "write"};
  }
  return {0, "write"};
}

// The file is replaced whole: no reader finds a part of it.
int SecretStore::Write(const GivenSecret& secret, unsigned uid, unsigned gid) {
  const std::string name(secret.name);
  const int folder = folder_fd_.Get();
  unlinkat(folder, kNewFile, 0);
  const UniqueFd file(openat(folder, kNewFile, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return errno;
  int error = WriteAll(file.Get(), secret.value);
  const bool is_own = uid == geteuid() && gid == getegid();
  if (error == 0 && !is_own && fchown(file.Get(), uid, gid) != 0) error = errno;
  const UniqueFd old(openat(folder, name.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (error == 0 && renameat(folder, kNewFile, folder, name.c_str()) != 0) error = errno;
  if (error != 0) {
    Overwrite(file.Get());
    unlinkat(folder, kNewFile, 0);
    return error;
  }
  if (old) Overwrite(old.Get());
  names_.insert(name);
  return 0;
}

int SecretStore::Remove(const std::string& name) {
  const UniqueFd file(openat(folder_fd_.Get(), name.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file) Overwrite(file.Get());
  if (unlinkat(folder_fd_.Get(), name.c_str(), 0) != 0 && errno != ENOENT) return errno;
  names_.erase(name);
  return 0;
}

int SecretStore::Read(const std::string& name, std::string* value) const {
  if (names_.count(name) == 0) return ENOENT;
  const UniqueFd file(openat(folder_fd_.Get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return errno;
  const size_t begin = value->size();
  value->resize(begin + kMaxSecret);
  const ssize_t size = pread(file.Get(), value->data() + begin, kMaxSecret, 0);
  const int error = size < 0 ? errno : 0;
  value->resize(begin + static_cast<size_t>(std::max<ssize_t>(size, 0)));
  if (error != 0) return error;
  return value->find('\0', begin) == std::string::npos ? 0 : EINVAL;
}

}  // namespace microvm::agent
