#pragma once

#include <string>
#include <vector>

#include "core/root_directory.h"

namespace microvm::core {

// What was made in a jail, to be taken back in reverse order unless it is kept. One thread.
class JailUndo {
 public:
  // The root and the folder it is in, as far as they were made.
  void MadeRoot(const std::string& path) { roots_.push_back(path); }
  void MadeFolder(const std::string& name) { steps_.push_back({Kind::kFolder, name, {}}); }
  void MadeFile(const std::string& name) { steps_.push_back({Kind::kFile, name, {}}); }
  void MovedFile(const std::string& name, const std::string& from) {
    steps_.push_back({Kind::kMoved, name, from});
  }

  // Takes all back; answers with the path of the first thing that stays, if any. `root` may be null when it
  // could not be opened.
  std::string Run(const RootDirectory* root);

 private:
  enum class Kind { kFolder, kFile, kMoved };
  struct Step {
    Kind kind;
    std::string name;
    std::string from;
  };
  static bool TakeBack(const RootDirectory& root, const Step& step);

  std::vector<std::string> roots_;
  std::vector<Step> steps_;
};

}  // namespace microvm::core
