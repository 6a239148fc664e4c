#pragma once

#include <functional>
#include <vector>

#include "core/durable_committer.h"

namespace microvm::core {

// Carries out changes that do not touch each other, on this thread, step by step for all of them: the file
// system's journal then takes their syncs in one commit each. Tells of each as soon as it is on the disk. One
// that fails leaves the old state, no file of ours, and the others as they are.
void CommitDurably(const std::vector<const DurableChange*>& changes,
                   const std::function<void(size_t index, const Status&)>& on_end);

}  // namespace microvm::core
