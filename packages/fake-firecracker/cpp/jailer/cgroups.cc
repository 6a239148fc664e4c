#include "jailer/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "jailer/failure.h"
#include "process/system.h"

namespace microvm::fake {
namespace {

struct Mount {
  std::string path;
  std::string type;
  std::string options;
};

std::vector<Mount> CgroupMounts() {
  std::string table;
  ReadFile("/proc/mounts", &table);
  std::vector<Mount> mounts;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string device;
    Mount mount;
    words >> device >> mount.path >> mount.type >> mount.options;
    if (mount.type == "cgroup" || mount.type == "cgroup2") mounts.push_back(std::move(mount));
  }
  return mounts;
}

bool HasWord(const std::string& list, const std::string& word, char separator) {
  std::istringstream words(list);
  for (std::string each; std::getline(words, each, separator);) {
    while (!each.empty() && each.back() == '\n') each.pop_back();
    if (each == word) return true;
  }
  return false;
}

void WriteOrFail(const std::string& path, const std::string& text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  const int error = file ? WriteAll(file.Get(), text + "\n") : errno;
  if (error != 0) FailOs("Failed to write to " + path, "Write", error, path);
}

void MakeFolders(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), 0777) != 0 && errno != EEXIST)
      FailOs("Failed to create directory " + path, "CreateDir", errno, path);
    if (slash == std::string::npos) return;
  }
}

}  // namespace

Cgroups::Cgroups(CgroupRequest request) : request_(std::move(request)) {
  const std::vector<Mount> mounts = CgroupMounts();
  for (const Mount& mount : mounts) {
    if (mount.type == "cgroup2" && unified_mount_.empty()) unified_mount_ = mount.path;
  }
  for (const std::string& text : request_.values) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size() ||
        text.find('=', equals + 1) != std::string::npos)
      Fail("Invalid format for cgroups: " + text, "CgroupFormat(\"" + text + "\")");
    Value value;
    value.file = text.substr(0, equals);
    value.value = text.substr(equals + 1);
    const size_t dot = value.file.find('.');
    if (dot == std::string::npos)
      Fail("Cgroup invalid file: " + value.file, "CgroupInvalidFile(\"" + value.file + "\")");
    value.controller = value.file.substr(0, dot);
    if (request_.version == 2) {
      value.mount = unified_mount_;
      std::string controllers;
      if (!unified_mount_.empty()) ReadFile((unified_mount_ + "/cgroup.controllers").c_str(), &controllers);
      if (!unified_mount_.empty() && !HasWord(controllers, value.controller, ' '))
        Fail("Controller " + value.controller + " is unavailable",
             "CgroupControllerUnavailable(\"" + value.controller + "\")");
    } else {
      bool any = false;
      for (const Mount& mount : mounts) {
        any = any || mount.type == "cgroup";
        if (mount.type == "cgroup" && HasWord(mount.options, value.controller, ',')) value.mount = mount.path;
      }
      if (any && value.mount.empty())
        Fail("Controller " + value.controller + " is unavailable",
             "CgroupControllerUnavailable(\"" + value.controller + "\")");
    }
    if (value.mount.empty())
      Fail("Hierarchy not found: No hierarchy found for this cgroup version.",
           "CgroupHierarchyMissing(\"No hierarchy found for this cgroup version.\")");
    values_.push_back(std::move(value));
  }
}

std::string Cgroups::Group(const std::string& mount) const {
  return mount + "/" + request_.parent + "/" + request_.vm_id;
}

void Cgroups::Enter() const {
  const std::string pid = std::to_string(getpid());
  if (values_.empty()) {
    const std::string parent = unified_mount_ + "/" + request_.parent;
    struct stat info {};
    if (request_.version == 2 && !unified_mount_.empty() && stat(parent.c_str(), &info) == 0)
      WriteOrFail(parent + "/cgroup.procs", pid);
    return;
  }
  for (const Value& value : values_) {
    const std::string group = Group(value.mount);
    MakeFolders(group);
    if (request_.version == 2) {
      // Each level above hands the controller down.
      for (size_t at = value.mount.size(); at < group.size(); at = group.find('/', at + 1))
        WriteOrFail(group.substr(0, at) + "/cgroup.subtree_control", "+" + value.controller);
    }
    WriteOrFail(group + "/" + value.file, value.value);
  }
  for (const Value& value : values_) WriteOrFail(Group(value.mount) + "/cgroup.procs", pid);
}

}  // namespace microvm::fake
