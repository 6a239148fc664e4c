#pragma once

#include <string>

#include "core/handles.h"
#include "core/result.h"

namespace microvm::core {

// Whether a name stays below a directory by its look: relative, and no component is empty, "." or "..".
bool IsBeneathName(const std::string& name);

// Such a name cut at its last slash; `folder` is empty for the directory itself.
struct SplitName {
  std::string folder;
  std::string name;
};
SplitName SplitBeneath(const std::string& name);

// A directory whose content may be hostile. What is opened by a name lies beneath it and no link, symbolic or
// magic, was followed on the way. Names are those of IsBeneathName. One thread.
class RootDirectory {
 public:
  // The path itself is trusted, its last component is no link.
  static Result<RootDirectory> Open(const std::string& path);

  // Open with O_CLOEXEC. ELOOP or ENOTDIR: there is a link on the way.
  Result<UniqueFd> Open(const std::string& name, int flags, unsigned mode = 0) const;
  // For reading names in it and making some; an empty name is the directory itself.
  Result<UniqueFd> OpenFolder(const std::string& name) const;
  // A regular file, by the flags of open(2), or a socket, which gives a descriptor of O_PATH. EISDIR for a
  // folder, EINVAL for what else there is: a device is not even touched.
  Result<UniqueFd> OpenFileOrSocket(const std::string& name, int flags, unsigned mode) const;

  // Itself; as long as this is.
  int Fd() const { return fd_.Get(); }
  std::string PathOf(const std::string& name) const { return name.empty() ? path_ : path_ + "/" + name; }

 private:
  RootDirectory(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Result<UniqueFd> Create(const std::string& name, int flags, unsigned mode) const;
  Result<UniqueFd> OpenExisting(const std::string& name, int flags) const;

  std::string path_;
  UniqueFd fd_;
};

}  // namespace microvm::core
