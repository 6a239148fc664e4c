#pragma once

#include <string>

namespace microvm::fake {

// A release, as far as the double knows what is different about it.
struct Release {
  std::string version;
  std::string snapshot_format;
  // `sync_snapshot_files` in the body of a snapshot/create; any other release refuses the field.
  bool has_sync_snapshot_files;
};

// What this process poses as: the release that the recorded facts are of, unless it was told another one.
const Release& ThisRelease();
// False: the double knows no such release.
bool PoseAs(const std::string& version);

}  // namespace microvm::fake
