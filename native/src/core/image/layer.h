#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/image/decompressor.h"
#include "core/image/entry.h"
#include "core/image/halt.h"
#include "core/image/limits.h"
#include "core/image/stage.h"

namespace microvm::core::image {

struct LayerInput {
  std::string path;
  bool is_folder = false;
  Compression compression = Compression::kNone;
  // Of the packed file; digests are SHA-256 in hex. Not of a folder.
  std::optional<std::string> digest;
  std::optional<uint64_t> size;
  // Of the unpacked archive.
  std::optional<std::string> diff_id;
};

// What was read of a layer; digests and sizes are those that were found. Of a folder they are empty.
struct LayerFacts {
  uint64_t packed_bytes = 0;
  uint64_t unpacked_bytes = 0;
  std::string digest;
  std::string diff_id;
};

struct LayerContents {
  std::vector<Entry> entries;
  std::optional<Stage> stage;
  LayerFacts facts;
  // Of a folder, names are names: it has no whiteouts.
  bool has_whiteouts = true;
};

struct LayerWork {
  std::string work_dir;
  ImageBudget* budget = nullptr;
  const Halt* halt = nullptr;
  // Packed bytes read so far, and all of the layer. May be empty.
  std::function<void(uint64_t, uint64_t)> on_progress;
};

// Reads a layer once, from its first packed byte to its last: its digests are checked, its entries are in
// memory and the content of its files is in the stage. Any thread.
ImageStatus ReadLayer(const LayerInput& input, const LayerWork& work, LayerContents* contents);

// Copies what the archive in `source` has: the part of ReadLayer that works on unpacked bytes.
ImageStatus ReadArchive(ByteSource* source, const LayerWork& work, LayerContents* contents);

// Counts an entry, and what of it stays in memory.
ImageStatus CountEntry(const Entry& entry, ImageBudget* budget);

}  // namespace microvm::core::image
