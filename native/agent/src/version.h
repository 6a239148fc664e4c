#pragma once

namespace microvm::agent {

constexpr const char* kAgentVersion = "0.1.0";

}  // namespace microvm::agent
