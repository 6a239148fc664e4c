#pragma once

namespace microvm::fake {

// The version that the recorded facts are of.
constexpr const char* kVmmVersion = "1.17.0-dev";

}  // namespace microvm::fake
