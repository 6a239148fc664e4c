#include "core/jail_undo.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/file_io.h"
#include "core/rename_new.h"

namespace microvm::core {

std::string JailUndo::Run(const RootDirectory* root) {
  std::string left;
  for (auto step = steps_.rbegin(); root != nullptr && step != steps_.rend(); ++step) {
    if (!TakeBack(*root, *step) && left.empty()) left = root->PathOf(step->name);
  }
  for (auto path = roots_.rbegin(); path != roots_.rend(); ++path) {
    if (rmdir(path->c_str()) != 0 && left.empty()) left = *path;
  }
  return left;
}

bool JailUndo::TakeBack(const RootDirectory& root, const Step& step) {
  const SplitName split = SplitBeneath(step.name);
  auto folder = root.OpenFolder(split.folder);
  if (!folder.Ok()) return false;
  const int fd = folder.Value().Get();
  if (step.kind == Kind::kMoved) {
    return RenameNew(fd, split.name, AT_FDCWD, step.from).Ok();
  }
  return unlinkat(fd, split.name.c_str(), step.kind == Kind::kFolder ? AT_REMOVEDIR : 0) == 0;
}

}  // namespace microvm::core
