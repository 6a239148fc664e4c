#include "binding/layers_fields.h"

#include <array>
#include <string>
#include <utility>

namespace microvm::binding {

namespace image = core::image;

namespace {

constexpr int64_t kMaxCount = (int64_t{1} << 53) - 1;

void ReadCompression(Reader* reader, const Napi::Object& object, image::LayerInput* layer) {
  constexpr std::array<std::pair<const char*, image::Compression>, 4> kNames{
      {{"none", image::Compression::kNone},
       {"gzip", image::Compression::kGzip},
       {"zstd", image::Compression::kZstd},
       {"xz", image::Compression::kXz}}};
  const std::string compression = reader->String(object.Get("compression"), "compression");
  layer->is_folder = compression == "folder";
  if (layer->is_folder || reader->Failed()) return;
  for (const auto& [name, value] : kNames) {
    layer->compression = value;
    if (compression == name) return;
  }
  reader->Fail("compression", "'none', 'gzip', 'zstd', 'xz' or 'folder'");
}

}  // namespace

image::ImageLimits ReadLimits(Reader* reader, const Napi::Object& options) {
  image::ImageLimits limits;
  const std::pair<const char*, uint64_t*> numbers[] = {
      {"layers", &limits.layers},
      {"entries", &limits.entries},
      {"pathBytes", &limits.path_bytes},
      {"depth", &limits.depth},
      {"totalBytes", &limits.total_bytes},
      {"fileBytes", &limits.file_bytes},
      {"xattrBytes", &limits.xattr_bytes},
      {"inodeXattrBytes", &limits.inode_xattr_bytes},
      {"paxBytes", &limits.pax_bytes},
      {"metadataBytes", &limits.metadata_bytes},
      {"ratio", &limits.ratio},
      {"ratioFreeBytes", &limits.ratio_free_bytes},
  };
  for (const auto& [name, target] : numbers) {
    const auto number = reader->OptionalInteger(options, name, 1, kMaxCount);
    if (number) *target = static_cast<uint64_t>(*number);
  }
  // Beyond these the recursion over folders and the numbers of a node would end.
  constexpr uint64_t kMaxDepth = 1024;
  constexpr uint64_t kMaxPath = 1 << 20;
  if (limits.depth > kMaxDepth) reader->Fail("depth", "at most 1024");
  if (limits.path_bytes > kMaxPath) reader->Fail("pathBytes", "at most 1048576");
  return limits;
}

std::vector<image::LayerInput> ReadLayerInputs(Reader* reader, Napi::Value value) {
  std::vector<image::LayerInput> layers;
  if (value.IsEmpty() || !value.IsArray()) reader->Fail("layers", "an array");
  if (reader->Failed()) return layers;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length() && !reader->Failed(); ++i) {
    const Napi::Object object = reader->Object(array.Get(i), "layers[" + std::to_string(i) + "]");
    image::LayerInput layer;
    layer.path = reader->String(object.Get("path"), "path");
    ReadCompression(reader, object, &layer);
    layer.digest = reader->OptionalString(object, "digest");
    layer.diff_id = reader->OptionalString(object, "diffId");
    const auto size = reader->OptionalInteger(object, "sizeBytes", 0, kMaxCount);
    if (size) layer.size = static_cast<uint64_t>(*size);
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace microvm::binding
