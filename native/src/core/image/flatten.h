#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/image/layer.h"
#include "core/image/stream_writer.h"

namespace microvm::core::image {

struct FlattenRequest {
  std::vector<LayerInput> layers;  // lowest first
  std::string work_dir;
  int output = -1;
  ImageLimits limits;
};

struct FlattenOutcome {
  // Set when the image is at fault; then nothing else is.
  std::optional<ImageFault> fault;
  StreamCounts counts;
  std::vector<LayerFacts> layers;
  Inode root;
};

// Called before the first byte is written.
using RootKnown = std::function<void(const Inode& root)>;

// Called by one thread at a time for one layer, but by several for several: packed bytes done, and in all.
using FlattenProgress = std::function<void(size_t layer, uint64_t done, uint64_t total)>;

// Reads all layers, merges them and writes the stream to the output. Nothing is left in `work_dir`. Memory
// grows with the number of names, not with the size of files. Can take long: a thread of its own. Cancelled,
// it fails with ECANCELED.
Result<FlattenOutcome> FlattenLayers(const FlattenRequest& request, const Cancellation& cancellation,
                                     const FlattenProgress& on_progress, const RootKnown& on_root);

}  // namespace microvm::core::image
