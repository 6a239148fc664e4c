#pragma once

#include <napi.h>

#include <cstdint>

#include "binding/reader.h"
#include "core/data_copy.h"
#include "core/size_bounds.h"

namespace microvm::binding {

// { method, sizeBytes, dataBytes }
Napi::Object OutcomeObject(Napi::Env env, const core::CopyOutcome& outcome);

// The options `expectedSizeBytes` and `maxSizeBytes`; `at_most` is what is accepted without them.
core::SizeBounds ReadSizeBounds(Reader* reader, const Napi::Object& options, uint64_t at_most = INT64_MAX);

// The option `onProgress`: a function or undefined.
Napi::Value ReadOnProgress(Reader* reader, const Napi::Object& options);

}  // namespace microvm::binding
