#pragma once

namespace microvm::fake {

// What the double of the jailer hands to the double of Firecracker beside its arguments. All else of the
// environment is cleared, as by the real one.
constexpr const char* kFaultsVariable = "MICROVM_FAKE_FAULTS";
constexpr const char* kGuestVariable = "MICROVM_FAKE_GUEST";
// Beside the executable: the rules for VMMs that are started from it, jailed or not.
constexpr const char* kFaultsSuffix = ".faults.json";

}  // namespace microvm::fake
