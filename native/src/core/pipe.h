#pragma once

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
// Both ends are close-on-exec, and blocking, as a program expects of what it reads from.
Result<Pipe> MakePipe();

}  // namespace microvm::core
