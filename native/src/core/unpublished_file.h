#pragma once

#include <string>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// A new file that nobody sees until it is published under its name. Where the file system can, it has no name
// at all before, so that not even a crash leaves something behind. Destroyed unpublished, it is gone. One
// thread.
class UnpublishedFile {
 public:
  static Result<UnpublishedFile> Create(const std::string& path, unsigned mode);
  // The same in a folder that stays open as long; `path` is for errors.
  static Result<UnpublishedFile> CreateIn(int folder, const std::string& name, const std::string& path,
                                          unsigned mode);
  UnpublishedFile(UnpublishedFile&&) = default;
  UnpublishedFile& operator=(UnpublishedFile&&) = delete;
  ~UnpublishedFile();

  int Fd() const { return file_.Get(); }
  // Gives it its name, in place of what had that name. `durable`: file and folder are synced.
  Status Publish(bool durable);
  // The same; EEXIST when something has that name.
  Status PublishNew();

 private:
  UnpublishedFile() = default;
  Status Link(const std::string& name);

  std::string path_;
  std::string name_;
  std::string temporary_name_;  // empty: it has none
  int folder_ = -1;
  UniqueFd own_folder_;  // empty: it is the caller's
  UniqueFd file_;
};

}  // namespace microvm::core
