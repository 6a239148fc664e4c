#pragma once

#include <functional>

#include "core/result.h"

namespace microvm::core {

// Starts a detached thread with every signal blocked, so that signals keep going to Node's own threads.
// (std::thread reports failure by an exception, which we do not have.)
Status StartThread(const char* name, std::function<void()> body);

// Runs body on `count` threads at once, the calling one among them, and returns when all have ended. Fewer
// where no more can be had.
void RunOnThreads(const char* name, size_t count, const std::function<void()>& body);

}  // namespace microvm::core
