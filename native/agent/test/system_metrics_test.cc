#include "system_metrics.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "mount_table.h"

namespace {

using namespace microvm::agent;

// A procfs whose files say what a test wants.
class Proc {
 public:
  Proc() {
    CHECK(mkdtemp(path_.data()) != nullptr);
    Folder("self");
  }
  ~Proc() {
    for (auto entry = made_.rbegin(); entry != made_.rend(); ++entry) remove(entry->c_str());
    remove(path_.c_str());
  }
  void Folder(const std::string& name) {
    made_.push_back(path_ + "/" + name);
    CHECK(mkdir(made_.back().c_str(), 0700) == 0);
  }
  void File(const std::string& name, const std::string& text) {
    made_.push_back(path_ + "/" + name);
    FILE* file = fopen(made_.back().c_str(), "w");
    CHECK(file != nullptr && fputs(text.c_str(), file) >= 0 && fclose(file) == 0);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/system-metrics-XXXXXX";
  std::vector<std::string> made_;
};

void ReadsWhatTheKernelCounts() {
  Proc proc;
  proc.File("uptime", "12.34 20.00\n");
  proc.File("loadavg", "0.05 1.50 12.00 2/72 311\n");
  proc.File("stat",
            "cpu  100 20 30 400 5 6 7 0 0 0\ncpu0 50 10 15 200 2 3 3 0 0 0\ncpu1 50 10 15 200 3 3 4 0 0 0\n"
            "intr 1 2 3\nctxt 4\n");
  proc.File("meminfo",
            "MemTotal:       244140 kB\nMemFree:        200000 kB\nMemAvailable:   210000 kB\n"
            "SwapTotal:      1024 kB\nSwapFree:       512 kB\n");
  proc.File("diskstats", " 254 0 vda 10 1 80 5 20 2 160 6 0 7 8\n   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n");
  proc.File("self/mounts",
            "proc /proc proc rw 0 0\n/dev/vda / ext4 rw 0 0\n/dev/fuse / fuse.bad rw 0 0\n"
            "/dev/vdb /no\\040where xfs rw 0 0\n");
  for (const char* pid : {"1", "20", "311"}) proc.Folder(pid);
  const SystemMetrics metrics = ReadSystemMetrics(proc.path());
  CHECK(metrics.uptime_ms == 12340);
  CHECK(metrics.load[0] == 5 && metrics.load[1] == 150 && metrics.load[2] == 1200);
  CHECK(metrics.processes == 3 && metrics.threads == 72 && metrics.cpus == 2);
  const auto us = static_cast<uint64_t>(1000000 / sysconf(_SC_CLK_TCK));
  CHECK(metrics.cpu_user_us == 120 * us && metrics.cpu_system_us == 43 * us);
  CHECK(metrics.cpu_idle_us == 405 * us);
  CHECK(metrics.memory_total == 244140 * 1024 && metrics.memory_free == 200000 * 1024);
  CHECK(metrics.memory_available == 210000 * 1024);
  CHECK(metrics.swap_total == 1024 * 1024 && metrics.swap_free == 512 * 1024);
  CHECK(metrics.disks.size() == 1 && metrics.disks[0].name == "vda");
  CHECK(metrics.disks[0].reads == 10 && metrics.disks[0].read_bytes == 80 * 512);
  CHECK(metrics.disks[0].writes == 20 && metrics.disks[0].written_bytes == 160 * 512);
  struct statvfs root {};
  CHECK(statvfs("/", &root) == 0 && metrics.file_systems.size() == 1);
  CHECK(metrics.file_systems[0].path == "/" && metrics.file_systems[0].type == "ext4");
  CHECK(metrics.file_systems[0].total == root.f_blocks * root.f_frsize);
}

void WhatIsNotThereIsZero() {
  const SystemMetrics metrics = ReadSystemMetrics("/nowhere");
  CHECK(metrics.uptime_ms == 0 && metrics.processes == 0 && metrics.cpus == 0 && metrics.memory_total == 0);
  CHECK(metrics.disks.empty() && metrics.file_systems.empty());
}

void HasABoundedNumberOfDisks() {
  Proc proc;
  std::string disks;
  for (int n = 0; n < 1000; n++) disks += " 7 0 loop" + std::to_string(n) + " 1 0 1 0 1 0 1 0 0 0 0\n";
  proc.File("diskstats", disks + " 7 0 " + std::string(4000, 'x') + " 1 0 1 0 1 0 1 0 0 0 0\n");
  const SystemMetrics metrics = ReadSystemMetrics(proc.path());
  CHECK(metrics.disks.size() == 32);
  PayloadWriter out;
  WriteSystemMetrics(metrics, &out);
  CHECK(out.bytes().size() < 65536);
}

void ReadsBlanksInTheMountTable() {
  Proc proc;
  proc.File("self/mounts", "/dev/vdb /no\\040where xfs rw 0 0\n");
  const std::vector<Mount> mounts = ReadMountTable((proc.path() + "/self/mounts").c_str());
  CHECK(mounts.size() == 1 && mounts[0].source == "/dev/vdb" && mounts[0].target == "/no where");
  CHECK(ReadMountTable("/nowhere").empty());
}

}  // namespace

int main() {
  ReadsWhatTheKernelCounts();
  WhatIsNotThereIsZero();
  HasABoundedNumberOfDisks();
  ReadsBlanksInTheMountTable();
}
