#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "file_failure.h"
#include "tree_message.h"
#include "unique_fd.h"

namespace microvm::tree {

// Writes a tree of which a hostile sender makes the messages. Each name is one component, made or opened in
// the descriptor of its folder without following a link, so nothing is written outside of the target, whoever
// changes the tree meanwhile. What the sender may ask for is bounded. One thread.
class Receiver {
 public:
  struct Options {
    bool with_owners = false;   // owners, and the bits that run a program as somebody else
    bool with_devices = false;  // devices and FIFOs
    uint64_t max_entries = 0;
    uint64_t max_bytes = 0;  // of content
  };
  struct Counts {
    uint64_t entries = 0;
    uint64_t bytes = 0;
    uint64_t skipped = 0;
  };

  // `target` becomes what the sender's root is; the folder that it lies in is there.
  Receiver(std::string target, const Options& options) : options_(options), target_(std::move(target)) {}

  // The next message. After a failure no other one is taken.
  FileFailure Take(uint8_t type, const uint8_t* body, size_t size);
  // The tree is whole.
  bool ended() const { return ended_; }
  const Counts& counts() const { return counts_; }

 private:
  struct Attributes {
    uint32_t mode = 0;
    uint32_t uid = 0;
    uint32_t gid = 0;
    timespec times[2]{};
  };
  struct Level {
    UniqueFd fd;
    Attributes attributes;
    size_t path_size;  // of `path_` without this folder
  };
  struct File {
    UniqueFd fd;
    Attributes attributes;
    uint64_t size = 0;
    uint64_t at = 0;
    std::string name;
  };

  FileFailure TakeEntry(const uint8_t* body, size_t size);
  FileFailure TakeContent(const uint8_t* body, size_t size);
  FileFailure TakeUp();
  FileFailure MakeRoot(const Entry& entry);
  FileFailure Make(int parent, const std::string& name, const Entry& entry);
  FileFailure MakeFolder(int parent, const std::string& name, const Entry& entry);
  FileFailure MakeFile(int parent, const std::string& name, const Entry& entry);
  FileFailure MakeSymlink(int parent, const std::string& name, const Entry& entry);
  FileFailure MakeHardLink(int parent, const std::string& name, const Entry& entry);
  FileFailure MakeDevice(int parent, const std::string& name, const Entry& entry);
  FileFailure Remember(const Entry& entry);
  FileFailure FinishFile();
  FileFailure Apply(int fd, const Attributes& attributes, const std::string& name) const;
  Attributes AttributesOf(const Entry& entry) const;
  std::string PathOf(const std::string& name) const;

  Options options_;
  std::string target_;
  std::string path_;  // of the present folder, from the root
  std::vector<Level> levels_;
  File file_;
  std::map<uint32_t, std::string> links_;  // the first names of files with several ones, from the root
  size_t link_memory_ = 0;
  Counts counts_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace microvm::tree
