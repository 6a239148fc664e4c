#include "vmm/snapshot_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "guest/archive.h"
#include "vmm/version.h"

namespace microvm::fake {
namespace {

constexpr std::string_view kMagic("\x00\x00\x00\x64\x86\x84\x19\x10\x07", 9);
constexpr size_t kStateSize = 13000;
constexpr size_t kChecksumSize = 8;
constexpr size_t kJsonSizeAt = kMagic.size() + 1 + 6;
constexpr uint64_t kPage = 4096;
// Page 0 says what archive follows; page 1 is written by a Full snapshot only, so a Diff that was not laid
// over one lacks it.
constexpr std::string_view kHeaderMark = "microvm fake guest";
constexpr std::string_view kWholeMark = "microvm fake guest, whole";
constexpr uint64_t kArchiveOffset = 2 * kPage;

struct MemoryHeader {
  char mark[32];
  char id[64];
  uint64_t archive_size;
};

uint64_t Crc64(std::string_view bytes) {
  constexpr uint64_t kPolynomial = 0x95AC9329AC4BC9B5;  // Jones, reflected
  uint64_t crc = 0;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ kPolynomial : crc >> 1;
  }
  return crc;
}

std::string StateJson(const SnapshotState& state) {
  return Value::Object({{"config", VmConfigJson(state.config)},
                        {"memory_id", Value::Text(state.memory_id)},
                        {"epoch", Value::Number(state.life.epoch)},
                        {"is_frozen", Value::Bool(state.life.is_frozen)},
                        {"has_guest", Value::Bool(state.has_guest)},
                        {"command_line", Value::Text(state.command_line)}})
      .Write();
}

bool ParseState(std::string_view json, SnapshotState* state) {
  Reader in(json);
  uint64_t epoch = 0;
  const auto text = [](std::string* out) { return [out](Reader* each) { return each->Text(out); }; };
  const auto flag = [](bool* out) { return [out](Reader* each) { return each->Bool(out); }; };
  const bool read = in.Object(
      {"State",
       {{"config", true, [state](Reader* each) { return ReadVmConfig(each, &state->config); }},
        {"memory_id", true, text(&state->memory_id)},
        {"epoch", true, [&epoch](Reader* each) { return each->Unsigned(UINT32_MAX, "u32", &epoch); }},
        {"is_frozen", true, flag(&state->life.is_frozen)},
        {"has_guest", true, flag(&state->has_guest)},
        {"command_line", true, text(&state->command_line)}}});
  state->life.epoch = static_cast<uint32_t>(epoch);
  return read;
}

size_t StateSize(size_t json_size) {
  return std::max(kStateSize, kJsonSizeAt + sizeof(uint32_t) + json_size);
}

// Writes what it is given from an offset on, in large pieces.
class Sink {
 public:
  Sink(int fd, uint64_t offset, uint64_t limit) : fd_(fd), offset_(offset), limit_(limit) {}

  int Write(std::string_view bytes) {
    buffer_ += bytes;
    return buffer_.size() < 1u << 20 ? 0 : Flush();
  }
  int Flush() {
    if (offset_ + buffer_.size() > limit_) return EFBIG;
    const int error = PwriteAll(fd_, buffer_, offset_);
    offset_ += buffer_.size();
    buffer_.clear();
    return error;
  }
  uint64_t offset() const { return offset_; }

 private:
  int fd_;
  uint64_t offset_;
  uint64_t limit_;
  std::string buffer_;
};

int CopyArchive(int source, const GuestMemory& memory, Sink* sink) {
  std::string chunk(1u << 20, '\0');
  for (uint64_t done = 0; done < memory.archive_size;) {
    const size_t size = std::min<uint64_t>(chunk.size(), memory.archive_size - done);
    const ssize_t got = pread(source, chunk.data(), size, static_cast<off_t>(memory.archive_offset + done));
    if (got <= 0) return got < 0 ? errno : EIO;
    if (const int error = sink->Write({chunk.data(), static_cast<size_t>(got)}); error != 0) return error;
    done += static_cast<uint64_t>(got);
  }
  return 0;
}

int WriteGuest(int fd, const MemoryPlan& plan) {
  Sink sink(fd, kArchiveOffset, plan.size);
  int error = 0;
  if (plan.root >= 0) {
    error = PackArchive(plan.root, [&sink](std::string_view bytes) { return sink.Write(bytes); });
  } else if (plan.source >= 0) {
    error = CopyArchive(plan.source, plan.source_memory, &sink);
  }
  if (error == 0) error = sink.Flush();
  if (error != 0) return error;
  MemoryHeader header{};
  memcpy(header.mark, kHeaderMark.data(), kHeaderMark.size());
  memcpy(header.id, plan.id.data(), std::min(plan.id.size(), sizeof(header.id) - 1));
  header.archive_size = sink.offset() - kArchiveOffset;
  error = PwriteAll(fd, BytesOf(header), 0);
  const bool is_whole = !plan.is_diff || (plan.source >= 0 && plan.source_memory.is_whole && !plan.has_holes);
  return error == 0 && is_whole ? PwriteAll(fd, kWholeMark, kPage) : error;
}

}  // namespace

std::string WriteState(const std::string& path, const SnapshotState& state) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return "Cannot perform open on the snapshot backing file: " + OsError(errno);
  const std::string json = StateJson(state);
  const auto json_size = static_cast<uint32_t>(json.size());
  std::string bytes(kMagic);
  bytes += static_cast<char>(ThisRelease().snapshot_format.size());
  bytes += ThisRelease().snapshot_format;
  bytes += BytesOf(json_size);
  bytes += json;
  bytes.resize(StateSize(json_size), '\0');
  const uint64_t crc = Crc64(bytes);
  bytes += BytesOf(crc);
  const int error = WriteAll(fd.Get(), bytes);
  return error == 0 ? "" : "Cannot perform write on the snapshot backing file: " + OsError(error);
}

std::string WriteMemory(const MemoryPlan& plan) {
  const UniqueFd fd(open(plan.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return "Cannot perform open on the memory backing file: " + OsError(errno);
  if (ftruncate(fd.Get(), 0) != 0 || ftruncate(fd.Get(), static_cast<off_t>(plan.size)) != 0)
    return "Cannot perform ftruncate on the memory backing file: " + OsError(errno);
  int error = 0;
  // Room for every page, as after a dump of all of them: the blocks are the file's, and a disk that is full
  // says so.
  if (!plan.has_holes) error = posix_fallocate(fd.Get(), 0, static_cast<off_t>(plan.size));
  if (plan.fails_full) error = ENOSPC;
  if (error == 0) error = WriteGuest(fd.Get(), plan);
  return error == 0 ? "" : "Cannot dump memory: " + OsError(error);
}

std::string ReadState(const std::string& path, SnapshotState* state) {
  std::string bytes;
  constexpr const char* kFrom = "Failed to load snapshot state from file: ";
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return "Failed to open snapshot file: " + OsError(errno);
  if (const int error = ReadFile(path.c_str(), &bytes); error != 0)
    return kFrom + ("IO Error: " + OsError(error));
  if (bytes.size() < kChecksumSize) return std::string(kFrom) + "IO Error: File too short to contain CRC";
  constexpr const char* kBroken = "An error occurred during bitcode serialization: bitcode error";
  if (bytes.size() < kJsonSizeAt + sizeof(uint32_t) + kChecksumSize || bytes[0] != kMagic[0])
    return std::string(kFrom) + kBroken;
  if (bytes.compare(0, kMagic.size(), kMagic) != 0) {
    uint64_t magic = 0;
    memcpy(&magic, bytes.data() + 1, sizeof(magic));
    return std::string(kFrom) + "Magic value does not match arch: " + std::to_string(magic);
  }
  if (bytes[kMagic.size()] != static_cast<char>(ThisRelease().snapshot_format.size()))
    return std::string(kFrom) + kBroken;
  const std::string version = bytes.substr(kMagic.size() + 1, ThisRelease().snapshot_format.size());
  if (version != ThisRelease().snapshot_format)
    return std::string(kFrom) + "Invalid data version: " + version;
  uint32_t json_size = 0;
  memcpy(&json_size, bytes.data() + kJsonSizeAt, sizeof(json_size));
  // Of another length it cannot even be decoded, which is seen before the checksum is.
  if (bytes.size() != StateSize(json_size) + kChecksumSize) return std::string(kFrom) + kBroken;
  const uint64_t crc = Crc64(std::string_view(bytes).substr(0, bytes.size() - kChecksumSize));
  if (bytes.compare(bytes.size() - kChecksumSize, kChecksumSize, BytesOf(crc)) != 0)
    return std::string(kFrom) + "CRC64 validation failed";
  const std::string_view json = std::string_view(bytes).substr(kJsonSizeAt + sizeof(json_size), json_size);
  return ParseState(json, state) ? "" : std::string(kFrom) + kBroken;
}

std::string ReadVersion(const std::string& path, std::string* version) {
  std::string bytes;
  if (const int error = ReadFile(path.c_str(), &bytes); error != 0)
    return "Unable to open snapshot state file: " + OsError(error);
  if (bytes.size() < kMagic.size() + 7 || bytes.compare(0, kMagic.size(), kMagic) != 0)
    return "Invalid data format version of snapshot file: An error occurred during bitcode serialization: "
           "bitcode error";
  *version = bytes.substr(kMagic.size() + 1, 6);
  return "";
}

GuestMemory InspectMemory(int fd) {
  GuestMemory memory;
  MemoryHeader header{};
  if (pread(fd, &header, sizeof(header), 0) != sizeof(header) || kHeaderMark != header.mark) return memory;
  header.id[sizeof(header.id) - 1] = '\0';
  std::string whole(kWholeMark.size(), '\0');
  if (pread(fd, whole.data(), whole.size(), kPage) == static_cast<ssize_t>(whole.size()))
    memory.is_whole = whole == kWholeMark;
  memory.id = header.id;
  memory.archive_offset = kArchiveOffset;
  memory.archive_size = header.archive_size;
  return memory;
}

}  // namespace microvm::fake
