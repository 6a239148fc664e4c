#include "core/image/layer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "core/file_io.h"
#include "core/image/digesting_source.h"
#include "core/image/folder_layer.h"
#include "core/image/tar_reader.h"

namespace microvm::core::image {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kCopyBytes = 256 << 10;
constexpr auto kProgressInterval = std::chrono::milliseconds(50);

// The bytes of the packed file. Looks now and then whether all is to end.
class PackedFile final : public ByteSource {
 public:
  PackedFile(const RegularFile& file, const std::string& path, const LayerWork& work)
      : fd_(file.fd.Get()), size_(static_cast<uint64_t>(file.status.st_size)), path_(path), work_(work) {}

  ImageStatus Read(char* buffer, size_t capacity, size_t* got) override {
    *got = 0;
    auto halted = work_.halt->Check();
    if (!halted.Ok()) return halted;
    const ssize_t count = RetryOnSignal([&] { return read(fd_, buffer, capacity); });
    if (count < 0) return SysError::Last("read", path_);
    *got = static_cast<size_t>(count);
    done_ += *got;
    Report();
    return {};
  }

 private:
  void Report() {
    if (!work_.on_progress) return;
    const auto now = Clock::now();
    if (done_ < size_ && now - reported_ < kProgressInterval) return;
    if (done_ >= size_ && has_reported_end_) return;
    reported_ = now;
    has_reported_end_ = done_ >= size_;
    work_.on_progress(done_, size_);
  }

  const int fd_;
  const uint64_t size_;
  const std::string path_;
  const LayerWork& work_;
  uint64_t done_ = 0;
  Clock::time_point reported_{};
  bool has_reported_end_ = false;
};

ImageStatus CopyContent(TarReader* reader, const LayerWork& work, std::vector<char>* buffer, Stage* stage) {
  for (;;) {
    size_t got = 0;
    auto read = reader->ReadContent(buffer->data(), buffer->size(), &got);
    if (!read.Ok() || got == 0) return read;
    auto halted = work.halt->Check();
    if (!halted.Ok()) return halted;
    auto written = stage->Append(buffer->data(), got);
    if (!written.Ok()) return written;
  }
}

uint64_t UnpackedLimit(const ImageLimits& limits, uint64_t packed) {
  const uint64_t by_ratio = packed > UINT64_MAX / limits.ratio ? UINT64_MAX : packed * limits.ratio;
  return std::max(limits.ratio_free_bytes, by_ratio);
}

ImageStatus CheckEqual(const std::optional<std::string>& expected, const std::string& found,
                       const char* what) {
  if (!expected || *expected == found) return {};
  return ImageStatus::Invalid(std::string("its ") + what + " is sha256:" + found +
                              ", expected sha256:" + *expected);
}

// A file that was damaged on its way is said to be that, and not what its bytes happen to look like. Not when
// there is much left to read: a bomb is to end at once.
ImageStatus CauseOf(ImageStatus fault, const LayerInput& input, uint64_t size, DigestingSource* packed) {
  constexpr uint64_t kMaxRest = uint64_t{256} << 20;
  const bool is_long = size - std::min(size, packed->Count()) > kMaxRest;
  if (fault.Fault() == nullptr || !input.digest || is_long) return fault;
  std::vector<char> buffer(kCopyBytes);
  for (size_t got = 1; got > 0;) {
    auto read = packed->Read(buffer.data(), buffer.size(), &got);
    if (!read.Ok()) return read;
  }
  auto checked = CheckEqual(input.digest, packed->Digest(), "digest");
  return checked.Ok() ? fault : checked;
}

}  // namespace

ImageStatus CountEntry(const Entry& entry, ImageBudget* budget) {
  auto counted = budget->TakeEntry();
  if (!counted.Ok()) return counted;
  uint64_t bytes = entry.path.size() + entry.link.size();
  for (const auto& [name, value] : entry.xattrs) bytes += name.size() + value.size();
  counted = budget->TakeMetadata(bytes);
  if (!counted.Ok() || entry.type != EntryType::kFile) return counted;
  counted = budget->TakeBytes(entry.size);
  return counted.Ok() ? budget->TakeExtents(entry.extents.size()) : counted;
}

ImageStatus ReadArchive(ByteSource* source, const LayerWork& work, LayerContents* contents) {
  TarReader reader(source, work.budget->Limits());
  std::vector<char> buffer(kCopyBytes);
  for (;;) {
    Entry entry;
    bool is_there = false;
    auto read = reader.Next(&entry, &is_there);
    if (!read.Ok()) return read;
    if (!is_there) break;
    entry.stage_offset = contents->stage->Size();
    auto counted = CountEntry(entry, work.budget);
    if (counted.Ok()) counted = CopyContent(&reader, work, &buffer, &*contents->stage);
    if (!counted.Ok()) return std::move(counted).WithEntry(entry.path);
    contents->entries.push_back(std::move(entry));
  }
  return reader.Drain();
}

ImageStatus ReadLayer(const LayerInput& input, const LayerWork& work, LayerContents* contents) {
  auto stage = Stage::Create(work.work_dir);
  if (!stage.Ok()) return stage.Error();
  contents->stage = std::move(stage.Value());
  if (input.is_folder) return ReadFolder(input.path, work, contents);
  auto file = OpenRegularFile(input.path);
  if (!file.Ok()) return file.Error();
  const auto size = static_cast<uint64_t>(file.Value().status.st_size);
  if (input.size && *input.size != size) {
    return ImageStatus::Invalid("its size is " + std::to_string(size) + " bytes, expected " +
                                std::to_string(*input.size));
  }
  PackedFile packed(file.Value(), input.path, work);
  DigestingSource digested(&packed, UINT64_MAX);
  const auto decompressor = MakeDecompressor(input.compression, &digested);
  if (!decompressor) return SysError{ENOMEM, "malloc", input.path};
  DigestingSource unpacked(decompressor.get(), UnpackedLimit(work.budget->Limits(), size));
  auto read = ReadArchive(&unpacked, work, contents);
  if (!read.Ok()) return CauseOf(std::move(read), input, size, &digested);
  contents->facts = {digested.Count(), unpacked.Count(), digested.Digest(), unpacked.Digest()};
  if (contents->facts.packed_bytes != size) return SysError{EIO, "read", input.path};
  auto checked = CheckEqual(input.digest, contents->facts.digest, "digest");
  return checked.Ok() ? CheckEqual(input.diff_id, contents->facts.diff_id, "diff_id") : checked;
}

}  // namespace microvm::core::image
