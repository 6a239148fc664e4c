#pragma once

#include "core/durable_committer.h"

namespace microvm::core {

// Carries out one change, on this thread: afterwards it is on the disk. What fails leaves the old state, and
// no file of ours.
Status CommitDurably(const DurableChange& change);

}  // namespace microvm::core
