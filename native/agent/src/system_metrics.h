#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wire.h"

namespace microvm::agent {

// A mounted file system that lies on a block device, in bytes.
struct FileSystemMetrics {
  std::string path;
  std::string type;
  uint64_t total;
  uint64_t free;
  // What a user other than root may still write.
  uint64_t available;
};

// A whole disk, as /proc/diskstats counts it since the boot.
struct DiskMetrics {
  std::string name;
  uint64_t read_bytes;
  uint64_t written_bytes;
  uint64_t reads;
  uint64_t writes;
};

// What the guest's kernel counts. What a file of /proc does not say is 0.
struct SystemMetrics {
  uint64_t uptime_ms = 0;
  // Hundredths, over 1, 5 and 15 minutes.
  uint32_t load[3] = {};
  uint32_t processes = 0;
  uint32_t threads = 0;
  uint32_t cpus = 0;
  uint64_t cpu_user_us = 0;
  uint64_t cpu_system_us = 0;
  uint64_t cpu_idle_us = 0;
  uint64_t memory_total = 0;
  uint64_t memory_free = 0;
  uint64_t memory_available = 0;
  uint64_t swap_total = 0;
  uint64_t swap_free = 0;
  std::vector<FileSystemMetrics> file_systems;
  std::vector<DiskMetrics> disks;
};

// `proc`: where procfs is mounted.
SystemMetrics ReadSystemMetrics(const std::string& proc);

void WriteSystemMetrics(const SystemMetrics& metrics, PayloadWriter* out);

}  // namespace microvm::agent
