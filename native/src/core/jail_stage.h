#pragma once

#include <vector>

#include "core/cancellation.h"
#include "core/jail_plan.h"
#include "core/result.h"

namespace microvm::core {

// Makes all of the plan below its root, or nothing: what a failure or a cancellation (ECANCELED) finds done
// is undone. The root and the folder it is in are made when they are not there. Says how each file came, the
// shared ones first. Can take long: a thread of its own.
Result<std::vector<StagedFile>> StageJail(const JailPlan& plan, const Cancellation& cancellation);

}  // namespace microvm::core
