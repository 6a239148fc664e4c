#include "system_metrics.h"

#include <dirent.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>

#include "mount_table.h"
#include "proc_file.h"

namespace microvm::agent {
namespace {

constexpr size_t kMostEntries = 32;
constexpr size_t kMostPath = 256;
constexpr size_t kMostName = 32;
// What /proc/diskstats counts in, whatever the disk's own sectors are.
constexpr uint64_t kSector = 512;

template <typename Take>
void EachLine(const std::string& text, Take&& take) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    take(text.substr(at, end - at));
    at = end + 1;
  }
}

uint64_t TicksToUs(uint64_t ticks) {
  static const long per_second = sysconf(_SC_CLK_TCK);
  return ticks * 1000000 / static_cast<uint64_t>(per_second);
}

void ReadLoad(const std::string& text, SystemMetrics* metrics) {
  unsigned whole[3] = {};
  unsigned hundredths[3] = {};
  unsigned threads = 0;
  if (sscanf(text.c_str(), "%u.%u %u.%u %u.%u %*u/%u", &whole[0], &hundredths[0], &whole[1], &hundredths[1],
             &whole[2], &hundredths[2], &threads) != 7) {
    return;
  }
  for (int i = 0; i < 3; i++) metrics->load[i] = whole[i] * 100 + hundredths[i];
  metrics->threads = threads;
}

void ReadProcessors(const std::string& text, SystemMetrics* metrics) {
  EachLine(text, [&](const std::string& line) {
    uint64_t user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, soft_irq = 0;
    if (line.compare(0, 3, "cpu") != 0) return;
    if (line.size() > 3 && isdigit(static_cast<unsigned char>(line[3])) != 0) metrics->cpus++;
    if (sscanf(line.c_str(),
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &user,
               &nice, &system, &idle, &waiting, &irq, &soft_irq) == 7 &&
        line[3] == ' ') {
      metrics->cpu_user_us = TicksToUs(user + nice);
      metrics->cpu_system_us = TicksToUs(system + irq + soft_irq);
      metrics->cpu_idle_us = TicksToUs(idle + waiting);
    }
  });
}

void ReadMemory(const std::string& text, SystemMetrics* metrics) {
  const struct {
    const char* format;
    uint64_t* bytes;
  } fields[] = {
      {"MemTotal: %" SCNu64 " kB", &metrics->memory_total},
      {"MemFree: %" SCNu64 " kB", &metrics->memory_free},
      {"MemAvailable: %" SCNu64 " kB", &metrics->memory_available},
      {"SwapTotal: %" SCNu64 " kB", &metrics->swap_total},
      {"SwapFree: %" SCNu64 " kB", &metrics->swap_free},
  };
  EachLine(text, [&](const std::string& line) {
    for (const auto& field : fields) {
      uint64_t kib = 0;
      if (sscanf(line.c_str(), field.format, &kib) == 1) *field.bytes = kib * 1024;
    }
  });
}

void ReadDisks(const std::string& text, SystemMetrics* metrics) {
  EachLine(text, [&](const std::string& line) {
    char name[kMostName + 1] = {};
    uint64_t reads = 0, read_sectors = 0, writes = 0, written_sectors = 0;
    if (metrics->disks.size() == kMostEntries) return;
    if (sscanf(line.c_str(), "%*u %*u %32s %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64, name,
               &reads, &read_sectors, &writes, &written_sectors) != 5 ||
        reads + writes == 0) {
      return;
    }
    metrics->disks.push_back({name, read_sectors * kSector, written_sectors * kSector, reads, writes});
  });
}

uint32_t CountProcesses(const std::string& proc) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(proc.c_str()), closedir);
  if (!entries) return 0;
  uint32_t count = 0;
  while (const dirent* entry = readdir(entries.get())) {
    if (isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0) count++;
  }
  return count;
}

void ReadFileSystems(const std::string& proc, SystemMetrics* metrics) {
  std::set<std::string> seen;
  for (const Mount& mount : ReadMountTable((proc + "/self/mounts").c_str())) {
    // A file system of the network or of a program may never answer.
    if (mount.source.compare(0, 5, "/dev/") != 0 || mount.type.compare(0, 4, "fuse") == 0) continue;
    if (mount.target.size() > kMostPath || metrics->file_systems.size() == kMostEntries) continue;
    struct statvfs status {};
    if (statvfs(mount.target.c_str(), &status) != 0 || !seen.insert(mount.target).second) continue;
    const uint64_t block = status.f_frsize;
    metrics->file_systems.push_back(
        {mount.target, mount.type, status.f_blocks * block, status.f_bfree * block, status.f_bavail * block});
  }
}

}  // namespace

SystemMetrics ReadSystemMetrics(const std::string& proc) {
  const auto file = [&](const char* name) { return ReadSmallFile((proc + "/" + name).c_str()); };
  SystemMetrics metrics;
  metrics.uptime_ms = static_cast<uint64_t>(strtod(file("uptime").c_str(), nullptr) * 1000);
  ReadLoad(file("loadavg"), &metrics);
  metrics.processes = CountProcesses(proc);
  ReadProcessors(file("stat"), &metrics);
  ReadMemory(file("meminfo"), &metrics);
  ReadFileSystems(proc, &metrics);
  ReadDisks(file("diskstats"), &metrics);
  return metrics;
}

void WriteSystemMetrics(const SystemMetrics& metrics, PayloadWriter* out) {
  out->U64(metrics.uptime_ms);
  for (const uint32_t load : metrics.load) out->U32(load);
  out->U32(metrics.processes).U32(metrics.threads).U32(metrics.cpus);
  out->U64(metrics.cpu_user_us).U64(metrics.cpu_system_us).U64(metrics.cpu_idle_us);
  out->U64(metrics.memory_total).U64(metrics.memory_free).U64(metrics.memory_available);
  out->U64(metrics.swap_total).U64(metrics.swap_free);
  out->U8(static_cast<uint8_t>(metrics.file_systems.size()));
  for (const FileSystemMetrics& one : metrics.file_systems) {
    out->Text(one.path, kMostPath).Text(one.type, kMostName);
    out->U64(one.total).U64(one.free).U64(one.available);
  }
  out->U8(static_cast<uint8_t>(metrics.disks.size()));
  for (const DiskMetrics& one : metrics.disks) {
    out->Text(one.name, kMostName);
    out->U64(one.read_bytes).U64(one.written_bytes).U64(one.reads).U64(one.writes);
  }
}

}  // namespace microvm::agent
