#include "core/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <ctime>

#include "core/file_io.h"

namespace microvm::core {
namespace {

constexpr size_t kMaxLockFile = 512;

// The value of a field in the JSON that WriteHolder made; the file may be half written, so nothing is taken
// for granted.
std::string Field(const std::string& json, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  size_t begin = json.find(key);
  if (begin == std::string::npos) return {};
  begin += key.size();
  if (begin < json.size() && json[begin] == '"') ++begin;
  const size_t end = json.find_first_of("\",}", begin);
  return end == std::string::npos ? std::string() : json.substr(begin, end - begin);
}

std::optional<LockHolder> ReadLivingHolder(const std::string& path) {
  auto text = ReadSmallFile(path, kMaxLockFile);
  if (!text.Ok()) return std::nullopt;
  const long pid = strtol(Field(text.Value(), "pid").c_str(), nullptr, 10);
  if (pid <= 0 || pid > INT_MAX) return std::nullopt;
  auto process = IdentifyProcess(static_cast<pid_t>(pid));
  if (!process.Ok() || !process.Value()) return std::nullopt;
  const ProcessIdentity& identity = *process.Value();
  if (identity.start_time != Field(text.Value(), "startTime")) return std::nullopt;
  if (identity.boot_id != Field(text.Value(), "bootId")) return std::nullopt;
  return LockHolder{identity.pid, identity.start_time};
}

// The holder may have taken the lock a moment ago: until it has written its name, the file has none, or a
// dead one's.
LockHolder ReadHolder(const std::string& path) {
  constexpr int kAttempts = 20;
  constexpr timespec kPause{0, 1'000'000};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (auto holder = ReadLivingHolder(path)) return std::move(*holder);
    nanosleep(&kPause, nullptr);
  }
  return {};
}

Status WriteHolder(int fd, const std::string& path) {
  auto self = IdentifyProcess(getpid());
  if (!self.Ok()) return self.Error();
  if (!self.Value()) return SysError{ESRCH, "open", "/proc/self/stat"};
  const ProcessIdentity& identity = *self.Value();
  const std::string json = "{\"pid\":" + std::to_string(identity.pid) + ",\"startTime\":\"" +
                           identity.start_time + "\",\"bootId\":\"" + identity.boot_id + "\"}\n";
  if (ftruncate(fd, 0) != 0) return SysError::Last("ftruncate", path);
  return WriteAll(fd, json, path);
}

}  // namespace

void UnlockDirectory(UniqueFd lock) {
  // What a failure leaves is the name of a process that does not hold the lock: ReadHolder can be shown it
  // only while we live.
  static_cast<void>(ftruncate(lock.Get(), 0) == 0);
}

Result<LockOutcome> LockDirectory(const std::string& path) {
  const std::string file = path + "/lock";
  auto fd = OpenFile(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd.Ok()) return fd.Error();
  if (RetryOnSignal([&] { return flock(fd.Value().Get(), LOCK_EX | LOCK_NB); }) != 0) {
    if (errno != EWOULDBLOCK) return SysError::Last("flock", file);
    return LockOutcome(ReadHolder(file));
  }
  const auto written = WriteHolder(fd.Value().Get(), file);
  // The lock is held without its holder's name as well: who wants it may be about to make room.
  const bool is_full =
      !written.Ok() && (written.Error().number == ENOSPC || written.Error().number == EDQUOT);
  if (!written.Ok() && !is_full) return written.Error();
  return LockOutcome(std::move(fd.Value()));
}

}  // namespace microvm::core
