#include "guest/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <vector>

#include "process/system.h"

namespace microvm::fake {
namespace {

constexpr std::string_view kSecretsPath = "run/secrets";
constexpr size_t kHeaderSize = 110;
constexpr std::string_view kMagic = "070701";
constexpr std::string_view kTrailer = "TRAILER!!!";

size_t Aligned(size_t size) { return (size + 3) & ~size_t{3}; }

struct Entry {
  mode_t mode = 0;
  std::string path;
  std::string_view data;
};

enum class Found { kEntry, kEnd, kBroken };

class Cursor {
 public:
  explicit Cursor(std::string_view archive) : rest_(archive) {}

  Found Next(Entry* entry) {
    // Archives may follow each other, with zeros between them.
    while (rest_.size() >= 4 && rest_.substr(0, 4) == std::string_view("\0\0\0\0", 4)) rest_.remove_prefix(4);
    if (rest_.empty()) return Found::kEnd;
    if (rest_.size() < kHeaderSize || rest_.substr(0, kMagic.size()) != kMagic) return Found::kBroken;
    uint32_t fields[13];
    for (size_t i = 0; i < 13; i++) {
      const std::string_view digits = rest_.substr(6 + i * 8, 8);
      const std::from_chars_result result = std::from_chars(digits.data(), digits.data() + 8, fields[i], 16);
      if (result.ec != std::errc() || result.ptr != digits.data() + 8) return Found::kBroken;
    }
    const size_t name_size = fields[11];
    const size_t data_at = Aligned(kHeaderSize + name_size);
    const size_t size = fields[6];
    if (name_size == 0 || data_at > rest_.size() || size > rest_.size() - data_at) return Found::kBroken;
    entry->path = std::string(rest_.substr(kHeaderSize, name_size - 1));
    entry->mode = fields[1];
    entry->data = rest_.substr(data_at, size);
    rest_.remove_prefix(std::min(Aligned(data_at + size), rest_.size()));
    return Found::kEntry;
  }

 private:
  std::string_view rest_;
};

// Relative, and not out of the folder.
const char* SafePath(const std::string& path) {
  const char* relative = path.c_str();
  while (*relative == '/') relative++;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (path.compare(at, end - at, "..") == 0) return nullptr;
    at = end + 1;
  }
  return *relative == '\0' ? nullptr : relative;
}

bool Unpack(const Entry& entry) {
  const char* path = SafePath(entry.path);
  if (path == nullptr || std::string_view(path) == ".") return true;
  const mode_t permissions = entry.mode & 07777;
  if (S_ISDIR(entry.mode))
    return (mkdir(path, permissions) == 0 || errno == EEXIST) && chmod(path, permissions) == 0;
  if (S_ISLNK(entry.mode)) return symlink(std::string(entry.data).c_str(), path) == 0 || errno == EEXIST;
  if (!S_ISREG(entry.mode)) return true;
  const UniqueFd file(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, permissions));
  return file && WriteAll(file.Get(), entry.data) == 0 && fchmod(file.Get(), permissions) == 0;
}

std::string Header(const std::string& path, mode_t mode, size_t size) {
  char text[kHeaderSize + 1];
  snprintf(text, sizeof(text), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 0u,
           static_cast<unsigned>(mode), 0u, 0u, 1u, 0u, static_cast<unsigned>(size), 0u, 0u, 0u, 0u,
           static_cast<unsigned>(path.size() + 1), 0u);
  std::string header = text + path;
  header.resize(Aligned(header.size() + 1));
  return header;
}

class Packer {
 public:
  Packer(dev_t device, const std::function<int(std::string_view)>& write) : device_(device), write_(write) {}

  int Folder(UniqueFd folder, const std::string& prefix) {
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(dup(folder.Get())), closedir);
    if (!entries) return errno;
    while (const dirent* entry = readdir(entries.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (const int error = One(folder.Get(), name, prefix + name); error != 0) return error;
    }
    return 0;
  }

 private:
  int One(int folder, const std::string& name, const std::string& path) {
    struct stat info {};
    if (fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno;
    if (info.st_dev != device_ && path == kSecretsPath) return Secrets(folder, name, info);
    if (info.st_dev != device_) return S_ISDIR(info.st_mode) ? write_(Header(path, info.st_mode, 0)) : 0;
    if (S_ISLNK(info.st_mode)) {
      std::string target(static_cast<size_t>(info.st_size), '\0');
      if (readlinkat(folder, name.c_str(), target.data(), target.size()) != info.st_size) return EIO;
      return Data(path, info.st_mode, target);
    }
    if (S_ISDIR(info.st_mode)) {
      if (const int error = write_(Header(path, info.st_mode, 0)); error != 0) return error;
      UniqueFd child(openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      return child ? Folder(std::move(child), path + "/") : errno;
    }
    if (!S_ISREG(info.st_mode)) return 0;
    const UniqueFd file(openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    std::string data(static_cast<size_t>(info.st_size), '\0');
    if (!file) return errno;
    if (read(file.Get(), data.data(), data.size()) != info.st_size) return EIO;
    return Data(path, info.st_mode, data);
  }

  // A file system of its own, which is a part of the guest's memory as much as its others are.
  int Secrets(int folder, const std::string& name, const struct stat& info) {
    const std::string path(kSecretsPath);
    if (const int error = write_(Header(path, info.st_mode, 0)); error != 0) return error;
    UniqueFd child(openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return child ? Packer(info.st_dev, write_).Folder(std::move(child), path + "/") : errno;
  }

  int Data(const std::string& path, mode_t mode, std::string& data) {
    if (const int error = write_(Header(path, mode, data.size())); error != 0) return error;
    data.resize(Aligned(data.size()));
    return write_(data);
  }

  dev_t device_;
  const std::function<int(std::string_view)>& write_;
};

}  // namespace

bool UnpackArchive(std::string_view archive) {
  Cursor cursor(archive);
  for (Entry entry;;) {
    const Found found = cursor.Next(&entry);
    if (found != Found::kEntry) return found == Found::kEnd;
    if (entry.path != kTrailer && !Unpack(entry)) return false;
  }
}

bool HasProgram(std::string_view archive, std::string_view path) {
  Cursor cursor(archive);
  for (Entry entry; cursor.Next(&entry) == Found::kEntry;) {
    if (entry.path == path) return S_ISLNK(entry.mode) || (S_ISREG(entry.mode) && (entry.mode & 0111) != 0);
  }
  return false;
}

int PackArchive(int folder, const std::function<int(std::string_view)>& write) {
  struct stat info {};
  if (fstat(folder, &info) != 0) return errno;
  UniqueFd root(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return errno;
  if (const int error = Packer(info.st_dev, write).Folder(std::move(root), ""); error != 0) return error;
  return write(Header(std::string(kTrailer), 0, 0));
}

}  // namespace microvm::fake
