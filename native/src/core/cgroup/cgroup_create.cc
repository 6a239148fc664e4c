#include "core/cgroup/cgroup_create.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "core/cgroup/cgroup_directory.h"
#include "core/file_io.h"
#include "core/handles.h"

namespace microvm::core {
namespace {

constexpr mode_t kMode = 0755;

using Names = std::vector<std::string>;

// The controllers of the settings: what stands before the first dot. The files of cgroup.* belong to none.
Names ControllersOf(const std::vector<CgroupSetting>& settings) {
  Names controllers;
  for (const CgroupSetting& setting : settings) {
    const std::string name = setting.file.substr(0, setting.file.find('.'));
    const bool is_listed = std::find(controllers.begin(), controllers.end(), name) != controllers.end();
    if (name != "cgroup" && !is_listed) controllers.push_back(name);
  }
  return controllers;
}

// A kernel without swap, or told at its boot not to account for it, has a memory controller without these
// files.
bool IsSwapUnaccounted(const CgroupSetting& setting, const SysError& error) {
  return error.number == ENOENT && setting.file.rfind("memory.swap.", 0) == 0;
}

// Without links, as far as the path exists: so that the folder above a name is the cgroup above it.
Result<std::string> Resolve(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) != nullptr) return std::string(resolved);
  const SplitPath split = Split(path);
  if (errno != ENOENT || split.name.empty()) return SysError::Last("realpath", path);
  auto above = Resolve(split.directory);
  if (!above.Ok()) return above;
  return (above.Value() == "/" ? "" : above.Value()) + "/" + split.name;
}

// Lets the cgroups right below use the controllers.
Status SwitchOn(const CgroupDirectory& cgroup, const Names& controllers) {
  auto enabled = cgroup.Read("cgroup.subtree_control");
  if (!enabled.Ok()) return enabled.Error();
  for (const std::string& controller : controllers) {
    if (HasWord(enabled.Value(), controller)) continue;
    auto available = cgroup.Read("cgroup.controllers");
    if (!available.Ok()) return available.Error();
    if (!HasWord(available.Value(), controller)) {
      return SysError{
          ENOTSUP, "mkdir", cgroup.Path(), controller,
          "no such controller in this cgroup: not delegated, in use by cgroup v1, or not built in"};
    }
    auto written = cgroup.Write("cgroup.subtree_control", "+" + controller);
    if (written.Ok()) continue;
    SysError error = written.Error();
    error.object = controller;
    if (error.number == EBUSY) error.detail = "the cgroup has processes of its own";
    return error;
  }
  return {};
}

// The cgroups from the root of the hierarchy to `path`, which are made where they are missing, with their
// controllers.
Status PrepareAbove(const std::string& path, const Names& controllers) {
  auto cgroup = CgroupDirectory::Open(path);
  if (!cgroup.Ok() && cgroup.Error().number != ENOENT) return cgroup.Error();
  auto is_root = cgroup.Ok() ? cgroup.Value().IsMountRoot() : Result(false);
  if (!is_root.Ok()) return is_root.Error();
  if (!is_root.Value()) {
    auto above = PrepareAbove(Split(path).directory, controllers);
    if (!above.Ok()) return above;
  }
  if (!cgroup.Ok()) {
    if (mkdir(path.c_str(), kMode) != 0 && errno != EEXIST) return SysError::Last("mkdir", path);
    cgroup = CgroupDirectory::Open(path);
    if (!cgroup.Ok()) return cgroup.Error();
  }
  return SwitchOn(cgroup.Value(), controllers);
}

}  // namespace

Status CreateCgroup(const std::string& path, const std::vector<CgroupSetting>& settings) {
  auto resolved = Resolve(path);
  if (!resolved.Ok()) return resolved.Error();
  auto above = PrepareAbove(Split(resolved.Value()).directory, ControllersOf(settings));
  if (!above.Ok()) return above;
  if (mkdir(resolved.Value().c_str(), kMode) != 0) return SysError::Last("mkdir", path);
  ScopeExit undo([&] { rmdir(resolved.Value().c_str()); });
  auto cgroup = CgroupDirectory::Open(resolved.Value());
  if (!cgroup.Ok()) return cgroup.Error();
  for (const CgroupSetting& setting : settings) {
    auto written = cgroup.Value().Write(setting.file, setting.value);
    if (!written.Ok() && !IsSwapUnaccounted(setting, written.Error())) return written;
  }
  undo.Dismiss();
  return {};
}

}  // namespace microvm::core
