#pragma once

namespace microvm::agent {

// What the process of a file worker does, on its standard input and output; answers its exit code. Its calls
// may block: nobody but its own host's side waits for them.
int RunFileWorker();

}  // namespace microvm::agent
