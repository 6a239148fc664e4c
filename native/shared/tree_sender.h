#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "file_failure.h"
#include "tree_message.h"
#include "unique_fd.h"

namespace microvm::tree {

// Reads a tree and makes its messages, a piece at a time. Links are not followed but the path's own. What
// vanishes while the tree is read is left out; of a file that grows, what it had is sent. One thread.
class Sender {
 public:
  struct Options {
    bool with_hard_links = true;  // else each name of a file is sent as a file of its own
  };

  // `path` is a file or a folder; the first `Fill` opens it.
  Sender(std::string path, Options options) : options_(options), root_(std::move(path)) {}

  // Appends messages, until there are about `enough` bytes or the tree is whole: then `ended`.
  FileFailure Fill(size_t enough, Bytes* out);
  bool ended() const { return ended_; }

 private:
  struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
  };
  using Folder = std::unique_ptr<DIR, CloseFolder>;
  struct Level {
    Folder folder;
    size_t path_size;  // of `path_` without this folder
  };
  // The file whose content is being sent.
  struct File {
    UniqueFd fd;
    uint64_t at = 0;
    uint64_t data_end = 0;  // of the present run of data; the rest may be a hole
    uint64_t size = 0;
  };

  FileFailure Begin(Bytes* out);
  FileFailure End(Bytes* out);
  FileFailure SendNext(Bytes* out);
  FileFailure SendNamed(int parent, const std::string& name, Bytes* out);
  FileFailure EnterFolder(UniqueFd fd, const std::string& name, const struct stat& found, Bytes* out);
  FileFailure BeginFile(UniqueFd fd, const std::string& name, const struct stat& found, Bytes* out);
  FileFailure SendContent(Bytes* out);
  FileFailure SendSymlink(int parent, const std::string& name, const struct stat& found, Bytes* out);
  // The number of a file with several names, and whether it was sent before.
  std::pair<uint32_t, bool> LinkOf(const struct stat& found, size_t name_size);
  std::string PathOf(const std::string& name) const;

  Options options_;
  std::string root_;
  std::string path_;  // of the present folder, from the root
  std::vector<Level> levels_;
  File file_;
  std::map<std::pair<dev_t, ino_t>, uint32_t> links_;
  size_t link_memory_ = 0;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace microvm::tree
