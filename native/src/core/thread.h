#pragma once

#include <functional>

#include "core/result.h"

namespace microvm::core {

// Starts a detached thread with every signal blocked, so that signals keep going to Node's own threads.
// (std::thread reports failure by an exception, which we do not have.)
Status StartThread(const char* name, std::function<void()> body);

// Runs body on a new thread, which ends with it, and waits for that: for what changes the thread itself, such
// as its namespaces.
Status RunOnFreshThread(const char* name, const std::function<void()>& body);

}  // namespace microvm::core
