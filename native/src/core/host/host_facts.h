#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace microvm::core {

// What there is on this host: plain data. Numbers of an error are errno; 0 is none.

struct CgroupFacts {
  bool has_v1 = false;
  // Controllers that version 1 has taken.
  std::vector<std::string> v1_controllers;
  // Empty: version 2 is not mounted.
  std::string v2_mount;
  // Where this process is, from the mount on: /user.slice/…
  std::string own;
  // The cgroup in which we can make others: the root of the hierarchy, else our own. Empty: neither.
  std::string base;
  // Why not.
  int base_error = 0;
  // Limits that a cgroup in the base can have.
  std::vector<std::string> controllers;
  // The base has processes, so the limits cannot be used there.
  bool is_base_occupied = false;
  bool has_kill = false;
};

struct NamespaceFact {
  const char* name;
  // Of an attempt to make one; ENOENT when the kernel has none.
  int error;
};

struct UserfaultfdFacts {
  // Why faults inside the kernel, such as those of KVM, cannot be handled.
  int error = 0;
  bool by_syscall = false;
  bool by_device = false;
  uint64_t features = 0;
};

struct HugePageFacts {
  uint64_t page_bytes;
  uint64_t total;
  uint64_t free;
};

struct MemoryFacts {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  uint64_t swap_total_bytes = 0;
  uint64_t swap_free_bytes = 0;
  std::vector<HugePageFacts> huge_pages;
};

struct PathFacts {
  std::string path;
  // Of a look at it; nothing else is known then.
  int error = 0;
  std::string file_system;
  uint64_t device = 0;
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  bool is_in_memory = false;
  bool has_no_devices = false;
  bool has_no_executables = false;
  // Of an attempt to make a file.
  int write_error = 0;
  bool has_reflink = false;
};

struct HostFacts {
  std::string kernel;
  CgroupFacts cgroup;
  std::vector<NamespaceFact> namespaces;
  int nftables_error = 0;
  int tun_error = 0;
  UserfaultfdFacts userfaultfd;
  MemoryFacts memory;
  std::vector<PathFacts> paths;
};

}  // namespace microvm::core
