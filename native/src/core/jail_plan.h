#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace microvm::core {

// Names in a plan are those of IsBeneathName.
struct JailFolder {
  std::string name;
  bool is_private = false;
  unsigned mode = 0;
};

// An input that all VMs may read and none may write.
struct SharedFile {
  std::string name;
  std::string from;
};

enum class PrivateOrigin { kEmpty, kCopy, kMove, kLink };

// A file of one VM.
struct PrivateFile {
  std::string name;
  PrivateOrigin origin = PrivateOrigin::kEmpty;
  std::string from;                    // unless kEmpty
  std::optional<uint64_t> size_bytes;  // kEmpty, kCopy: at least that of `from`
  unsigned mode = 0600;                // kEmpty, kCopy
};

struct JailPlan {
  std::string root;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<JailFolder> folders;
  std::vector<SharedFile> shared;
  std::vector<PrivateFile> privates;
};

enum class Arrival { kLink, kReflink, kCopy, kMove, kEmpty };

struct StagedFile {
  std::string name;
  Arrival arrival = Arrival::kCopy;
  uint64_t size_bytes = 0;
};

}  // namespace microvm::core
