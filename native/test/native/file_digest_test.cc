#include "core/file_digest.h"

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

Result<FileDigest> Digest(const std::string& path, uint64_t chunk_bytes) {
  return DigestFile({path, chunk_bytes}, Cancellation());
}

}  // namespace

TEST(known_vectors) {
  const TemporaryFolder folder;
  WriteText(folder / "abc", "abc");
  auto abc = Digest(folder / "abc", 4096);
  CHECK(abc.Ok() && abc.Value().chunks.size() == 1);
  CHECK(Hex(abc.Value().chunks[0]) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  WriteText(folder / "empty", "");
  auto empty = Digest(folder / "empty", 4096);
  CHECK(empty.Ok() && empty.Value().chunks.empty());
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
    CHECK(a.Ok() && b.Ok() && a.Value().chunks == b.Value().chunks && a.Value().root == b.Value().root);
    CHECK(a.Value().chunks.size() == (size + chunk - 1) / chunk);
  }
}

TEST(a_changed_byte_changes_its_chunk_alone) {
  const TemporaryFolder folder;
  std::string data(1 << 20, 'a');
  WriteText(folder / "f", data);
  const auto before = Digest(folder / "f", 65536).Value();
  data[5 * 65536] = 'b';
  WriteText(folder / "f", data);
  const auto after = Digest(folder / "f", 65536).Value();
  for (size_t i = 0; i < 16; ++i) CHECK((before.chunks[i] == after.chunks[i]) == (i != 5));
  CHECK(before.root != after.root);
}

TEST(errors_and_cancellation) {
  const TemporaryFolder folder;
  CHECK(Digest(folder / "none", 4096).Error().number == ENOENT);
  CHECK(Digest(folder.Path(), 4096).Error().number == EISDIR);
  CHECK(Digest("/dev/zero", 4096).Error().number == EINVAL);
  WriteText(folder / "f", std::string(1 << 20, 'a'));
  Cancellation cancelled;
  cancelled.Cancel();
  auto digest = DigestFile({folder / "f", 4096}, cancelled);
  CHECK(!digest.Ok() && digest.Error().number == ECANCELED);
}

RUN_TESTS()
