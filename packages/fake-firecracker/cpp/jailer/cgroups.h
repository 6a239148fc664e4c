#pragma once

#include <string>
#include <vector>

namespace microvm::fake {

struct CgroupRequest {
  int version = 1;
  std::string parent;  // relative to the hierarchy
  bool parent_is_default = true;
  std::string vm_id;
  std::vector<std::string> values;  // `file=value`
};

// Checks what is asked for, before anything is made; fails the jailer otherwise.
class Cgroups {
 public:
  explicit Cgroups(CgroupRequest request);

  // Makes the groups, writes the values and puts the caller in. Without values nothing is made: in version 2
  // the caller joins the parent where that exists, else it stays.
  void Enter() const;

 private:
  struct Value {
    std::string mount;
    std::string controller;
    std::string file;
    std::string value;
  };

  std::string Group(const std::string& mount) const;

  CgroupRequest request_;
  std::string unified_mount_;
  std::vector<Value> values_;
};

}  // namespace microvm::fake
