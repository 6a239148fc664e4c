#include "jailer/failure.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "process/system.h"

namespace microvm::fake {
namespace {

// The names of std::io::ErrorKind.
const char* KindName(int error) {
  switch (error) {
    case ENOENT:
      return "NotFound";
    case EACCES:
    case EPERM:
      return "PermissionDenied";
    case EEXIST:
      return "AlreadyExists";
    case EINVAL:
      return "InvalidInput";
    case ELOOP:
      return "FilesystemLoop";
    case ENOTDIR:
      return "NotADirectory";
    case EISDIR:
      return "IsADirectory";
    case EBUSY:
      return "ResourceBusy";
    case ETXTBSY:
      return "ExecutableFileBusy";
    case ENOSPC:
      return "StorageFull";
    case EROFS:
      return "ReadOnlyFilesystem";
    default:
      return "Uncategorized";
  }
}

}  // namespace

std::string OsDebug(int error) {
  return "Os { code: " + std::to_string(error) + ", kind: " + KindName(error) + ", message: \"" +
         strerror(error) + "\" }";
}

void Fail(const std::string& message, const std::string& debug) {
  WriteAll(2, message + "\nError: " + debug + "\n");
  _exit(1);
}

void FailOs(const std::string& message, const std::string& kind, int error, const std::string& path) {
  const std::string quoted = "\"" + path + "\"";
  // The pair is in this order everywhere but where a device node is made.
  const std::string pair =
      kind == "MknodDev" ? OsDebug(error) + ", " + quoted : quoted + ", " + OsDebug(error);
  Fail(message + ": " + OsError(error), kind + "(" + (path.empty() ? OsDebug(error) : pair) + ")");
}

}  // namespace microvm::fake
