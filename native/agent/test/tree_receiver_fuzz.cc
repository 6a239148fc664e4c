#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tree_receiver.h"

// The receiver with a tree of any messages, in a folder of its own: whatever they say, the file beside the
// target stays as it is.

namespace {

std::string folder;

int Remove(const char* path, const struct stat*, int, struct FTW*) { return remove(path); }

void Empty() { nftw((folder + "/target").c_str(), Remove, 16, FTW_DEPTH | FTW_PHYS); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace microvm;
  if (folder.empty()) {
    char name[] = "/tmp/tree-fuzz-XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    folder = name;
    if (symlink("/", (folder + "/precious").c_str()) != 0) abort();
  }
  tree::Receiver receiver(folder + "/target", {false, false, 64, 4096});
  // Each message: its type, two bytes of length, its body.
  while (size >= 3) {
    const size_t length = data[1] | static_cast<size_t>(data[2]) << 8;
    if (length > size - 3) break;
    if (receiver.Take(data[0], data + 3, length)) break;
    data += 3 + length;
    size -= 3 + length;
  }
  if (receiver.counts().entries > 64 || receiver.counts().bytes > 4096) abort();
  char target[8];
  if (readlink((folder + "/precious").c_str(), target, sizeof(target)) != 1) abort();
  Empty();
  return 0;
}
