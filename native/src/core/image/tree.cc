#include "core/image/tree.h"

#include <algorithm>
#include <utility>

#include "core/image/entry_path.h"

namespace microvm::core::image {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
// What else begins so is metadata of AUFS, which no image has as a file.
constexpr std::string_view kMetadata = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr size_t kMaxLinks = 40;  // as the kernel
// Of one way through all its links, so that a small archive cannot keep us busy for hours.
constexpr size_t kMaxSteps = 4096;

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

std::shared_ptr<Inode> InodeOf(size_t layer, Entry entry) {
  auto inode = std::make_shared<Inode>();
  inode->type = entry.type;
  inode->mode = entry.mode;
  inode->uid = entry.uid;
  inode->gid = entry.gid;
  inode->mtime = entry.mtime;
  inode->major = entry.major;
  inode->minor = entry.minor;
  inode->size = entry.size;
  inode->link = std::move(entry.link);
  inode->xattrs = std::move(entry.xattrs);
  inode->extents = std::move(entry.extents);
  inode->layer = layer;
  inode->stage_offset = entry.stage_offset;
  return inode;
}

// The components of a link's target, in the order in which they are walked; "." and empty ones left out.
std::vector<std::string> TargetComponents(const std::string& target) {
  std::vector<std::string> components;
  for (size_t begin = 0; begin < target.size();) {
    const size_t end = std::min(target.find('/', begin), target.size());
    std::string component = target.substr(begin, end - begin);
    if (!component.empty() && component != ".") components.push_back(std::move(component));
    begin = end + 1;
  }
  return components;
}

}  // namespace

std::string Node::Path() const {
  if (parent == this) return {};
  std::string above = parent->Path();
  return above.empty() ? name : above + "/" + name;
}

Tree::Tree(ImageBudget* budget) : budget_(budget), root_(std::make_unique<Node>()) {
  root_->parent = root_.get();
}

ImageStatus Tree::Add(size_t layer, Entry entry, bool has_whiteouts) {
  const std::string name = entry.path;
  Components path;
  auto split = SplitEntryPath(name, budget_->Limits(), &path);
  if (!split.Ok()) return std::move(split).WithEntry(name);
  if (path.empty()) return PlaceRoot(layer, std::move(entry)).WithEntry(name);
  if (!has_whiteouts) return Place(layer, path, std::move(entry)).WithEntry(name);
  const bool is_whiteout = BeginsWith(path.back(), kWhiteout);
  for (const std::string_view component : path) {
    if (BeginsWith(component, kMetadata) && component != kOpaque) return {};
    if (BeginsWith(component, kWhiteout) && (!is_whiteout || component.data() != path.back().data())) {
      return std::move(ImageStatus::Invalid("it lies below a whiteout")).WithEntry(name);
    }
  }
  auto added = is_whiteout ? WhiteOut(layer, path) : Place(layer, path, std::move(entry));
  return std::move(added).WithEntry(name);
}

ImageStatus Tree::PlaceRoot(size_t layer, Entry entry) {
  if (entry.type != EntryType::kFolder) return ImageStatus::Invalid("the root is no folder in it");
  root_->inode = InodeOf(layer, std::move(entry));
  root_->layer = layer;
  return {};
}

ImageStatus Tree::Place(size_t layer, const Components& path, Entry entry) {
  Node* target = nullptr;
  std::shared_ptr<Inode> inode;
  if (entry.type == EntryType::kHardLink) {
    auto found = FindTarget(entry, &target);
    if (!found.Ok()) return found;
    inode = target->inode;
  } else if (entry.type == EntryType::kSymlink) {
    if (entry.link.empty()) return ImageStatus::Invalid("it is a symbolic link to nothing");
    if (entry.link.size() > budget_->Limits().path_bytes) {
      return ImageStatus::Invalid("its target has more than " + std::to_string(budget_->Limits().path_bytes) +
                                  " bytes");
    }
  }
  Node* folder = nullptr;
  auto walked = Walk(Components(path.begin(), path.end() - 1), &layer, &folder);
  if (!walked.Ok()) return walked;
  Node* node = nullptr;
  auto made = Child(folder, path.back(), layer, &node);
  if (!made.Ok()) return made;
  if (node == target) return ImageStatus::Invalid("it is a hard link to itself");
  if (entry.type != EntryType::kFolder || !node->IsFolder()) node->children.clear();
  node->inode = inode ? std::move(inode) : InodeOf(layer, std::move(entry));
  node->layer = layer;
  Touch(node, layer);
  return {};
}

ImageStatus Tree::FindTarget(const Entry& entry, Node** target) {
  Components path;
  auto split = SplitEntryPath(entry.link, budget_->Limits(), &path);
  if (!split.Ok()) return ImageStatus::Invalid("of the target of the hard link: " + split.Fault()->reason);
  if (path.empty()) return ImageStatus::Invalid("it is a hard link to the root");
  Node* folder = nullptr;
  auto walked = Walk(Components(path.begin(), path.end() - 1), nullptr, &folder);
  if (!walked.Ok()) return walked;
  const auto missing = [&] {
    return ImageStatus::Invalid("it is a hard link to " + entry.link + ", which is not there");
  };
  if (folder == nullptr) return missing();
  const auto found = folder->children.find(path.back());
  if (found == folder->children.end()) return missing();
  if (found->second->IsFolder()) return ImageStatus::Invalid("it is a hard link to a folder");
  *target = found->second.get();
  return {};
}

ImageStatus Tree::WhiteOut(size_t layer, const Components& path) {
  const bool is_opaque = path.back() == kOpaque;
  const std::string_view name = path.back().substr(kWhiteout.size());
  if (!is_opaque && (name.empty() || name == "." || name == "..")) {
    return ImageStatus::Invalid("it is a whiteout of no name");
  }
  Node* folder = nullptr;
  auto walked = Walk(Components(path.begin(), path.end() - 1), nullptr, &folder);
  if (!walked.Ok() || folder == nullptr) return walked;
  if (is_opaque) {
    PruneChildren(folder, layer);
    return {};
  }
  const auto hidden = folder->children.find(name);
  if (hidden != folder->children.end() && !Prune(hidden->second.get(), layer)) folder->children.erase(hidden);
  return {};
}

bool Tree::Prune(Node* node, size_t layer) {
  if (node->layer != layer) {
    // Without anything of this layer below it.
    if (node->touched != layer || !node->IsFolder()) return false;
    // This layer puts something into a folder of its own there, which it does not name.
    node->inode = std::make_shared<Inode>();
    node->layer = layer;
  }
  PruneChildren(node, layer);
  return true;
}

void Tree::PruneChildren(Node* folder, size_t layer) {
  if (folder->pruned == layer) return;
  folder->pruned = layer;
  for (auto child = folder->children.begin(); child != folder->children.end();) {
    child = Prune(child->second.get(), layer) ? std::next(child) : folder->children.erase(child);
  }
}

ImageStatus Tree::Walk(Components path, const size_t* layer, Node** folder) {
  // What is still to be walked, the next one last. A link's target takes the link's place.
  std::vector<std::string> rest;
  for (auto component = path.rbegin(); component != path.rend(); ++component) rest.emplace_back(*component);
  size_t links = 0;
  size_t steps = 0;
  Node* at = root_.get();
  *folder = nullptr;
  while (!rest.empty()) {
    if (++steps > kMaxSteps) return ImageStatus::Invalid("the symbolic links on its way are too long");
    const std::string name = std::move(rest.back());
    rest.pop_back();
    if (name == "..") {
      at = at->parent;
      continue;
    }
    auto found = at->children.find(name);
    if (found == at->children.end() && layer == nullptr) return {};
    Node* next = found == at->children.end() ? nullptr : found->second.get();
    if (next == nullptr) {
      auto made = MakeImplicitFolder(at, name, *layer, &next);
      if (!made.Ok()) return made;
    }
    if (next->inode->type == EntryType::kSymlink) {
      if (++links > kMaxLinks) return ImageStatus::Invalid("there are too many symbolic links on its way");
      const std::string& target = next->inode->link;
      if (target[0] == '/') at = root_.get();
      auto components = TargetComponents(target);
      rest.insert(rest.end(), std::make_move_iterator(components.rbegin()),
                  std::make_move_iterator(components.rend()));
      continue;
    }
    if (!next->IsFolder()) {
      if (layer == nullptr) return {};
      return ImageStatus::Invalid("it lies below " + next->Path() + ", which is no folder");
    }
    at = next;
  }
  *folder = at;
  return {};
}

ImageStatus Tree::MakeImplicitFolder(Node* folder, std::string_view name, size_t layer, Node** child) {
  // The reader of the layer has counted the entries that it names, and not these.
  auto taken = budget_->TakeEntry();
  if (!taken.Ok()) return taken;
  auto made = Child(folder, name, layer, child);
  if (made.Ok()) Touch(*child, layer);
  return made;
}

ImageStatus Tree::Child(Node* folder, std::string_view name, size_t layer, Node** child) {
  const auto existing = folder->children.find(name);
  if (existing != folder->children.end()) {
    *child = existing->second.get();
    return {};
  }
  // A link may lead to where the names get longer than the entry's own.
  const ImageLimits& limits = budget_->Limits();
  const size_t path_bytes = folder->path_bytes + (folder->path_bytes == 0 ? 0 : 1) + name.size();
  if (folder->depth + 1 > limits.depth || path_bytes > limits.path_bytes || name.size() > 255) {
    return ImageStatus::Invalid("a symbolic link leads it to where it is too deep or its name too long");
  }
  auto node = std::make_unique<Node>();
  node->parent = folder;
  node->name = name;
  node->layer = node->touched = layer;
  node->depth = folder->depth + 1;
  node->path_bytes = static_cast<uint32_t>(path_bytes);
  *child = folder->children.emplace(node->name, std::move(node)).first->second.get();
  return {};
}

void Tree::Touch(Node* node, size_t layer) {
  for (; node->parent != node; node = node->parent) node->touched = layer;
}

}  // namespace microvm::core::image
