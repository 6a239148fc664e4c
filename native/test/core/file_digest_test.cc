#include "core/file_digest.h"

#include <algorithm>

#include "check.h"

using namespace microvm::core;
using microvm::test::TemporaryFolder;
using microvm::test::WriteText;

namespace {

std::string Hex(const Sha256& digest) {
  std::string text;
  char byte[3];
  for (const unsigned char value : digest) {
    snprintf(byte, sizeof byte, "%02x", value);
    text += byte;
  }
  return text;
}

Result<FileDigest> Digest(const std::string& path, uint64_t chunk_bytes,
                          SizeBounds size = {0, kMaxDigestedBytes}) {
  return DigestFile({path, chunk_bytes, size}, Cancellation());
}

// The memory of this process that is there at the moment, in KiB.
long ResidentKib() {
  const std::string status = microvm::test::ReadText("/proc/self/status");
  return strtol(status.c_str() + status.find("VmRSS:") + 6, nullptr, 10);
}

}  // namespace

TEST(known_vectors) {
  const TemporaryFolder folder;
  WriteText(folder / "abc", "abc");
  auto abc = Digest(folder / "abc", 4096);
  // Of "abc" it is ba7816bf…, and this is the digest of that.
  CHECK(abc.Ok() &&
        Hex(abc.Value().root) == "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358");
  WriteText(folder / "empty", "");
  auto empty = Digest(folder / "empty", 4096);
  CHECK(empty.Ok() && empty.Value().size_bytes == 0);
  CHECK(Hex(empty.Value().root) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(a_hole_has_the_digest_of_zeros) {
  const TemporaryFolder folder;
  const size_t size = (1 << 20) * 3 + 12345;
  std::string data(size, '\0');
  data[1500000] = 'x';
  WriteText(folder / "dense", data);
  WriteText(folder / "sparse", "");
  auto sparse = OpenFile(folder / "sparse", O_WRONLY);
  CHECK(ftruncate(sparse.Value().Get(), static_cast<off_t>(size)) == 0);
  CHECK(pwrite(sparse.Value().Get(), "x", 1, 1500000) == 1);
  for (const uint64_t chunk : {4096ull, 65536ull, 1000000ull, 1ull << 20, 1ull << 30}) {
    auto a = Digest(folder / "dense", chunk);
    auto b = Digest(folder / "sparse", chunk);
    CHECK(a.Ok() && b.Ok() && a.Value().root == b.Value().root && a.Value().size_bytes == size);
  }
}

TEST(the_order_of_the_chunks_counts_and_each_byte_does) {
  const TemporaryFolder folder;
  std::string data;
  for (int i = 0; i < 1000; ++i) data += std::string(4096, static_cast<char>(i));
  WriteText(folder / "f", data);
  const Sha256 root = Digest(folder / "f", 4096).Value().root;
  CHECK(Digest(folder / "f", 4096).Value().root == root);
  std::string swapped = data;
  std::swap_ranges(swapped.begin(), swapped.begin() + 4096, swapped.begin() + 5 * 4096);
  WriteText(folder / "f", swapped);
  CHECK(Digest(folder / "f", 4096).Value().root != root);
  data[500 * 4096 + 7] ^= 1;
  WriteText(folder / "f", data);
  CHECK(Digest(folder / "f", 4096).Value().root != root);
}

TEST(a_file_of_another_size_is_refused_before_it_is_read) {
  const TemporaryFolder folder;
  WriteText(folder / "f", "12345");
  CHECK(Digest(folder / "f", 4096, {5, 5}).Ok());
  CHECK(Digest(folder / "f", 4096, {0, 4}).Error().number == EFBIG);
  CHECK(Digest(folder / "f", 4096, {6, 6}).Error().number == EIO);
}

TEST(a_size_that_a_file_only_claims_takes_no_memory) {
  const TemporaryFolder folder;
  const std::string path = folder / "claims";
  WriteText(path, "");
  // The largest size that the file system takes; most take one that no table of chunks fits into memory for.
  off_t size = off_t{1} << 62;
  while (size > 0 && truncate(path.c_str(), size) != 0) size >>= 1;
  CHECK(size >= off_t{1} << 40);
  const long before = ResidentKib();
  CHECK(size <= static_cast<off_t>(kMaxDigestedBytes) || Digest(path, 4096).Error().number == EFBIG);
  CHECK(truncate(path.c_str(), off_t{1} << 40) == 0);
  CHECK(Digest(path, 1 << 20).Ok());
  CHECK(ResidentKib() - before < 8192);
}

TEST(errors_and_cancellation) {
  const TemporaryFolder folder;
  CHECK(Digest(folder / "none", 4096).Error().number == ENOENT);
  CHECK(Digest(folder.Path(), 4096).Error().number == EISDIR);
  CHECK(Digest("/dev/zero", 4096).Error().number == EINVAL);
  WriteText(folder / "f", std::string(1 << 20, 'a'));
  Cancellation cancelled;
  cancelled.Cancel();
  auto digest = DigestFile({folder / "f", 4096, {}}, cancelled);
  CHECK(!digest.Ok() && digest.Error().number == ECANCELED);
}

RUN_TESTS()
