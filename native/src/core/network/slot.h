#pragma once

#include "core/cancellation.h"
#include "core/network/plan.h"
#include "core/result.h"

namespace microvm::core {

// A slot: a kept network namespace with its links. Both move the calling thread into other namespaces: for
// threads that end afterwards.

// Makes all of the plan or nothing. ECANCELED when it was asked to stop.
Status CreateSlot(const SlotPlan& plan, const Cancellation& cancellation);

// Removes what is there of the plan, whole or half-made, and nothing of anybody else. False when nothing was.
// When it returns the host's links are gone and their names and addresses free.
Result<bool> DeleteSlot(const SlotPlan& plan, const Cancellation& cancellation);

// What says on the host's end of a pair (its alias) to which namespace it belongs; names alone could be
// anybody's.
std::string SlotMark(const std::string& netns);

// Makes the pair of a plan alone, whole or not at all, the inside in the namespace at the path.
Status CreateVeth(const std::string& netns, const VethPlan& plan);

}  // namespace microvm::core
