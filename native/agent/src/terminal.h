#pragma once

#include "spawn.h"

namespace microvm::agent {

// A pseudoterminal of this size, with the kernel's own line discipline. Both ends are closed at exec. Answers
// 0 or an errno.
int OpenTerminal(const Terminal& terminal, UniqueFd* master, UniqueFd* slave);

}  // namespace microvm::agent
