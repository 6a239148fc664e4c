#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "core/image/layer.h"
#include "core/image/stream_writer.h"
#include "core/image/tar_reader.h"
#include "core/image/tree.h"
#include "pieces.h"

using namespace microvm::core;
using namespace microvm::core::image;

namespace {

void Require(bool condition) {
  if (!condition) abort();
}

// Takes decisions out of the fuzzer's bytes; zeros when there are none left.
class Decisions {
 public:
  Decisions(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool AtEnd() const { return at_ >= size_; }
  uint8_t Next() { return AtEnd() ? 0 : data_[at_++]; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// Few names, so that entries of several layers meet.
std::string Name(Decisions* decisions) {
  static const char* const kNames[] = {"a",      "b",        "c",         "lib",          ".",    "",
                                       "..",     ".wh.a",    ".wh.lib",   ".wh..wh..opq", ".wh.", ".wh..",
                                       ".wh...", "\xff\xfe", ".wh..wh.x", "dir"};
  std::string path;
  const size_t depth = decisions->Next() % 4 + 1;
  for (size_t i = 0; i < depth; ++i) {
    if (i > 0) path += '/';
    path += kNames[decisions->Next() % (sizeof kNames / sizeof kNames[0])];
  }
  return path;
}

Entry MakeEntry(Decisions* decisions, Stage* stage) {
  Entry entry;
  const uint8_t kind = decisions->Next();
  entry.type = static_cast<EntryType>(kind % 7);
  entry.path = Name(decisions);
  entry.mode = decisions->Next() * 16u % 010000;
  entry.mtime = decisions->Next() - 10;
  if (kind & 0x80) entry.path = "/" + entry.path;
  if (kind & 0x40) entry.xattrs["user.a"] = std::string(1, static_cast<char>(decisions->Next()));
  if (entry.type == EntryType::kHardLink) entry.link = Name(decisions);
  if (entry.type == EntryType::kSymlink) entry.link = (kind & 0x20 ? "/" : "x/../") + Name(decisions);
  if (entry.type != EntryType::kFile) return entry;
  entry.size = decisions->Next() * 100u;
  entry.stage_offset = stage->Size();
  for (uint64_t at = 0; at < entry.size;) {
    const uint64_t hole = kind & 0x10 ? decisions->Next() * 90u : 0;
    const uint64_t length = std::min<uint64_t>(entry.size - at, decisions->Next() * 50u + 1);
    if (hole >= entry.size - at || length > entry.size - at - hole) break;
    const std::string bytes(length, static_cast<char>('a' + decisions->Next() % 26));
    Require(stage->Append(bytes.data(), bytes.size()).Ok());
    // Extents do not touch.
    if (hole == 0 && !entry.extents.empty()) {
      entry.extents.back().length += length;
    } else {
      entry.extents.push_back({at + hole, length});
    }
    at += hole + length;
  }
  return entry;
}

// The stream of these layers; empty when they are refused.
std::string Stream(std::vector<LayerContents>* layers, bool* is_refused) {
  ImageLimits limits;
  limits.entries = 2000;
  limits.depth = 16;
  ImageBudget budget(limits);
  Tree tree(&budget);
  *is_refused = false;
  for (size_t layer = 0; layer < layers->size(); ++layer) {
    for (Entry& entry : (*layers)[layer].entries) {
      auto added = tree.Add(layer, std::move(entry), (*layers)[layer].has_whiteouts);
      Require(added.System() == nullptr);
      *is_refused = *is_refused || !added.Ok();
      if (*is_refused) return {};
    }
  }
  const Cancellation cancellation;
  const Halt halt(cancellation);
  const UniqueFd memory(memfd_create("stream", MFD_CLOEXEC));
  Require(static_cast<bool>(memory));
  OutputPipe output(memory.Get(), &halt);
  StreamWriter writer(*layers, &output);
  Require(writer.Write(tree.Root()).Ok());
  std::string stream(static_cast<size_t>(lseek(memory.Get(), 0, SEEK_END)), '\0');
  Require(pread(memory.Get(), stream.data(), stream.size(), 0) == static_cast<ssize_t>(stream.size()));
  return stream;
}

LayerContents NewLayer() {
  LayerContents layer;
  auto stage = Stage::Create("/dev/shm");
  Require(stage.Ok());
  layer.stage = std::move(stage.Value());
  return layer;
}

// Folders before what is in them, targets before links, each name once, no name that leads out.
void CheckOrder(const std::vector<Entry>& entries) {
  std::set<std::string> names;
  std::set<std::string> folders;
  for (const Entry& entry : entries) {
    Require(!entry.path.empty() && entry.path[0] != '/' &&
            ("/" + entry.path + "/").find("/../") == std::string::npos);
    Require(names.insert(entry.path).second);
    const size_t slash = entry.path.rfind('/');
    Require(slash == std::string::npos || folders.count(entry.path.substr(0, slash)) == 1);
    if (entry.type == EntryType::kFolder) folders.insert(entry.path);
    if (entry.type == EntryType::kHardLink) {
      Require(names.count(entry.link) == 1 && folders.count(entry.link) == 0 && entry.link != entry.path);
    }
  }
}

}  // namespace

// Up to three layers of few names. Their stream is what the writer promises, and its own flattening gives the
// same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Decisions decisions(data, size);
  std::vector<LayerContents> layers;
  for (size_t i = 0; i < 3 && !decisions.AtEnd(); ++i) {
    layers.push_back(NewLayer());
    const size_t count = decisions.Next() % 16;
    for (size_t j = 0; j < count; ++j) layers[i].entries.push_back(MakeEntry(&decisions, &*layers[i].stage));
  }
  bool is_refused = false;
  const std::string stream = Stream(&layers, &is_refused);
  if (is_refused) return 0;
  ImageLimits limits;
  ImageBudget budget(limits);
  const Cancellation cancellation;
  const Halt halt(cancellation);
  std::vector<LayerContents> again;
  again.push_back(NewLayer());
  again[0].has_whiteouts = false;
  Pieces source(stream, stream.size());
  Require(ReadArchive(&source, {"/dev/shm", &budget, &halt, {}}, &again[0]).Ok());
  CheckOrder(again[0].entries);
  Require(Stream(&again, &is_refused) == stream && !is_refused);
  return 0;
}
