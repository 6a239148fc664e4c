#include "mount_table.h"

#include <mntent.h>

#include <cstdio>
#include <memory>

namespace microvm::agent {

std::vector<Mount> ReadMountTable(const char* path) {
  std::vector<Mount> mounts;
  const std::unique_ptr<FILE, int (*)(FILE*)> table(setmntent(path, "re"), endmntent);
  if (!table) return mounts;
  mntent entry{};
  // A path of 4,095 bytes can be four times as long in the table, which writes blanks as octal numbers.
  std::string line(5 * 4096, '\0');
  while (getmntent_r(table.get(), &entry, line.data(), static_cast<int>(line.size())) != nullptr)
    mounts.push_back({entry.mnt_fsname, entry.mnt_dir, entry.mnt_type});
  return mounts;
}

}  // namespace microvm::agent
