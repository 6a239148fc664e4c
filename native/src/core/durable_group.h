#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/durable_committer.h"
#include "core/handles.h"

namespace microvm::core {

// One group of changes that do not touch each other's paths, on its way to the disk. Lives for one Commit on
// one thread.
class DurableGroup {
 public:
  explicit DurableGroup(std::vector<DurableChange> changes);

  // Carries out all changes and reports each.
  void Commit(ParallelRunner* disks);

 private:
  struct Folder {
    std::string path;
    UniqueFd fd;
    Status opened;
    bool is_changed = false;
    Status synced;
  };
  struct Step {
    DurableChange change;
    Folder* folder = nullptr;
    Folder* target_folder = nullptr;  // kRename
    std::string name;
    std::string target_name;  // kRename
    std::string temporary_name;
    UniqueFd temporary;
    Status status;
  };

  Folder* FolderOf(const std::string& path);
  static void WriteTemporary(Step* step, bool start_writeback);
  static void SyncTemporary(Step* step);
  static void Apply(Step* step);
  static void Report(Step* step);

  std::map<std::string, Folder> folders_;
  std::vector<Step> steps_;
};

}  // namespace microvm::core
