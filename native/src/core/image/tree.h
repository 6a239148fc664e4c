#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/image/entry.h"
#include "core/image/limits.h"

namespace microvm::core::image {

// What a name stands for. Names that are hard links of each other share one; a folder has one for itself.
struct Inode {
  EntryType type = EntryType::kFolder;  // never kHardLink
  uint32_t mode = 0755;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t size = 0;
  std::string link;
  Xattrs xattrs;
  std::vector<Extent> extents;
  // Where the content is: the layer, and the place in its stage.
  size_t layer = 0;
  uint64_t stage_offset = 0;
};

struct Node {
  Node* parent = nullptr;  // the root is its own
  std::string name;
  std::shared_ptr<Inode> inode = std::make_shared<Inode>();
  // In the order of bytes, so that one image gives one stream.
  std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
  // The layer whose entry it is; and the last layer that put anything here or below.
  size_t layer = 0;
  size_t touched = 0;
  // The last layer that took away what lower ones have put below: once for all, as it can only add its own.
  size_t pruned = SIZE_MAX;
  uint32_t depth = 0;
  uint32_t path_bytes = 0;

  bool IsFolder() const { return inode->type == EntryType::kFolder; }
  std::string Path() const;
};

// The image as its layers add up, by the rules of the OCI image specification. An entry below a folder that
// is a symbolic link lands where the link leads inside the image. One thread.
class Tree {
 public:
  explicit Tree(ImageBudget* budget);

  // Adds the next entry of a layer, or what a whiteout says; layers come lowest first, entries in the
  // archive's order. `has_whiteouts` false: names that begin with .wh. are names as any other.
  ImageStatus Add(size_t layer, Entry entry, bool has_whiteouts);

  const Node& Root() const { return *root_; }

 private:
  using Components = std::vector<std::string_view>;

  ImageStatus Place(size_t layer, const Components& path, Entry entry);
  ImageStatus PlaceRoot(size_t layer, Entry entry);
  ImageStatus WhiteOut(size_t layer, const Components& path);
  ImageStatus FindTarget(const Entry& entry, Node** target);
  // The folder that a path leads to. Missing ones are made where `layer` says in which; else null.
  ImageStatus Walk(Components path, const size_t* layer, Node** folder);
  ImageStatus MakeImplicitFolder(Node* folder, std::string_view name, size_t layer, Node** child);
  // The child of a folder, made when it is not there.
  ImageStatus Child(Node* folder, std::string_view name, size_t layer, Node** child);
  static void Touch(Node* node, size_t layer);
  // Takes away what lower layers have put at a node and below. False when nothing is left of it.
  static bool Prune(Node* node, size_t layer);
  static void PruneChildren(Node* folder, size_t layer);

  ImageBudget* budget_;
  std::unique_ptr<Node> root_;
};

}  // namespace microvm::core::image
