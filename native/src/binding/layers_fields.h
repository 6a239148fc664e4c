#pragma once

#include <napi.h>

#include <vector>

#include "binding/reader.h"
#include "core/image/layer.h"
#include "core/image/limits.h"

namespace microvm::binding {

// The limits of an image; those that are undefined are the core's own.
core::image::ImageLimits ReadLimits(Reader* reader, const Napi::Object& options);

// The layers of an image, as the surface has checked them.
std::vector<core::image::LayerInput> ReadLayerInputs(Reader* reader, Napi::Value value);

}  // namespace microvm::binding
