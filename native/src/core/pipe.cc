#include "core/pipe.h"

#include <fcntl.h>
#include <unistd.h>

namespace microvm::core {

Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return SysError::Last("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace microvm::core
