#pragma once

#include <string>

namespace microvm::fake {

// Ends the jailer as the real one does: what went wrong, the same as Rust prints the error, exit code 1.
[[noreturn]] void Fail(const std::string& message, const std::string& debug);
// With an errno; `kind` and the path as in the real error's name.
[[noreturn]] void FailOs(const std::string& message, const std::string& kind, int error,
                         const std::string& path = "");
// `Os { code: 2, kind: NotFound, message: "No such file or directory" }`.
std::string OsDebug(int error);

}  // namespace microvm::fake
