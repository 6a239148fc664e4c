#include "check.h"
#include "core/image/tree.h"

using namespace microvm::core::image;

namespace {

// What one entry of a layer is, in short: "dir/" is a folder, "a>b" a symbolic link, "a=b" a hard link, and
// everything else a file with its own name as content.
Entry Short(const std::string& text) {
  Entry entry;
  entry.path = text;
  entry.mode = 0700;
  const size_t mark = text.find_first_of(">=");
  if (mark != std::string::npos) {
    entry.type = text[mark] == '>' ? EntryType::kSymlink : EntryType::kHardLink;
    entry.path = text.substr(0, mark);
    entry.link = text.substr(mark + 1);
  } else if (text.back() == '/') {
    entry.type = EntryType::kFolder;
  }
  return entry;
}

using Layers = std::vector<std::vector<std::string>>;

void List(const Node& folder, std::string* listed) {
  for (const auto& [name, child] : folder.children) {
    *listed += child->Path() + (child->IsFolder() ? "/" : "");
    // Which layer's it is; an implicit folder is marked.
    *listed += "@" + std::to_string(child->layer) + (child->inode->mode == 0755 ? "i" : "") + " ";
    List(*child, listed);
  }
}

// The tree in one line; or why it is refused.
std::string Merge(const Layers& layers, bool has_whiteouts = true, const ImageLimits& limits = {}) {
  ImageBudget budget(limits);
  Tree tree(&budget);
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (const std::string& entry : layers[layer]) {
      auto added = tree.Add(layer, Short(entry), has_whiteouts);
      if (!added.Ok()) return "! " + added.Fault()->entry + ": " + added.Fault()->reason;
    }
  }
  std::string listed;
  List(tree.Root(), &listed);
  return listed;
}

}  // namespace

TEST(a_whiteout_acts_on_lower_layers_only_in_any_order) {
  CHECK(Merge({{"a", "b"}, {".wh.a"}}) == "b@0 ");
  CHECK(Merge({{"a"}, {".wh.a", "a"}}) == "a@1 ");
  CHECK(Merge({{"a"}, {"a", ".wh.a"}}) == "a@1 ");
  CHECK(Merge({{"a", ".wh.a"}}) == "a@0 ");
  CHECK(Merge({{"d/", "d/x"}, {"d/y", ".wh.d"}}) == "d/@1i d/y@1 ");
  CHECK(Merge({{"d/", "d/x"}, {".wh.d", "d/y"}}) == "d/@1i d/y@1 ");
  CHECK(Merge({{"d/", "d/x"}, {"d/", "d/y", ".wh.d"}}) == "d/@1 d/y@1 ");
  CHECK(Merge({{"d/", "d/x"}, {".wh.d/"}}) == "");
  CHECK(Merge({{"d/", "d/x"}, {"none/.wh.a", ".wh.none"}}) == "d/@0 d/x@0 ");
}

TEST(an_opaque_folder_hides_what_lower_layers_have_in_it) {
  const std::string expected = "d/@0 d/new@1 ";
  CHECK(Merge({{"d/", "d/x", "d/s/", "d/s/y"}, {"d/.wh..wh..opq", "d/new"}}) == expected);
  CHECK(Merge({{"d/", "d/x", "d/s/", "d/s/y"}, {"d/new", "d/.wh..wh..opq"}}) == expected);
  CHECK(Merge({{"d/", "d/s/", "d/s/y"}, {"d/s/new", "d/.wh..wh..opq"}}) == "d/@0 d/s/@1i d/s/new@1 ");
  CHECK(Merge({{"a", "d/"}, {".wh..wh..opq", "b"}}) == "b@1 ");
  CHECK(Merge({{"a"}, {"d/.wh..wh..opq"}}) == "a@0 ");
}

// Each of them once looked at all that is in the folder: a layer of a few MiB took hours.
TEST(whiteouts_that_say_the_same_again_and_again_cost_nothing) {
  constexpr size_t kCount = 100'000;
  std::vector<std::string> layer{"d/"};
  for (size_t i = 0; i < kCount; ++i) layer.push_back("d/" + std::to_string(i));
  layer.insert(layer.end(), kCount, "d/.wh..wh..opq");
  layer.insert(layer.end(), kCount, ".wh.d");
  layer.insert(layer.end(), {"d/new/", "d/new/x", "d/.wh..wh..opq", ".wh.d"});
  const std::string merged = Merge({{"d/", "d/old/", "d/old/x"}, layer});
  CHECK(merged.find("old") == std::string::npos);
  CHECK(merged.find("d/new/@1 d/new/x@1 ") != std::string::npos);
  CHECK(merged.find("d/0@1 ") != std::string::npos);
}

TEST(metadata_of_aufs_is_no_file) {
  CHECK(Merge({{"a", ".wh..wh.aufs", ".wh..wh.plnk/", ".wh..wh.plnk/1.2"}}) == "a@0 ");
}

TEST(without_whiteouts_their_names_are_names) {
  CHECK(Merge({{".wh.a", "d/", "d/.wh..wh..opq"}}, false) == ".wh.a@0 d/@0 d/.wh..wh..opq@0 ");
}

TEST(a_later_entry_replaces_one_of_another_type) {
  CHECK(Merge({{"a/", "a/x"}, {"a"}}) == "a@1 ");
  CHECK(Merge({{"a"}, {"a/", "a/x"}}) == "a/@1 a/x@1 ");
  CHECK(Merge({{"a/", "a/x"}, {"a/"}}) == "a/@1 a/x@0 ");
  CHECK(Merge({{"a/", "a/x"}, {"a>b"}}) == "a@1 ");
  CHECK(Merge({{"d/", "l>d"}, {"l/", "l/x"}}) == "d/@0 l/@1 l/x@1 ");
  CHECK(Merge({{"a", "a/"}}) == "a/@0 ");
  CHECK(Merge({{"a/", "a/b", "a=a/b"}}) == "a@0 ");
}

TEST(an_entry_below_a_link_lands_where_the_link_leads) {
  CHECK(Merge({{"usr/", "usr/lib/", "lib>usr/lib"}, {"lib/x"}}) == "lib@0 usr/@0 usr/lib/@0 usr/lib/x@1 ");
  CHECK(Merge({{"l>/made/here", "l/x"}}) == "l@0 made/@0i made/here/@0i made/here/x@0 ");
  CHECK(Merge({{"d/", "d/l>/made", "d/l/x"}}) == "d/@0 d/l@0 made/@0i made/x@0 ");
  CHECK(Merge({{"d/", "d/l>../../../out", "d/l/x"}}) == "d/@0 d/l@0 out/@0i out/x@0 ");
  CHECK(Merge({{"a/", "a/b/", "l>a/b/..", "l/x"}}) == "a/@0 a/b/@0 a/x@0 l@0 ");
  CHECK(Merge({{"a/", "one>two", "two>a", "one/x"}}) == "a/@0 a/x@0 one@0 two@0 ");
  CHECK(Merge({{"d/", "d/x", "l>d"}, {"l/.wh.x"}}) == "d/@0 l@0 ");
  CHECK(Merge({{"d/", "d/x", "l>d"}, {"h=l/x", ".wh.d"}}) == "h@1 l@0 ");
}

TEST(a_hard_link_keeps_its_content) {
  ImageBudget budget{ImageLimits()};
  Tree tree(&budget);
  Entry target = Short("a");
  target.size = 5;
  CHECK(tree.Add(0, target, true).Ok());
  CHECK(tree.Add(1, Short("b=a"), true).Ok());
  const Node* linked = tree.Root().children.at("b").get();
  CHECK(linked->inode == tree.Root().children.at("a")->inode);
  CHECK(tree.Add(2, Short(".wh.a"), true).Ok());
  CHECK(tree.Root().children.count("a") == 0 && linked->inode->size == 5 && linked->inode.use_count() == 1);
  // A new file of the old name is another one.
  CHECK(tree.Add(3, Short("a"), true).Ok());
  CHECK(tree.Root().children.at("a")->inode != linked->inode);
}

TEST(folders_that_are_only_named_are_roots_and_0755) {
  ImageBudget budget{ImageLimits()};
  Tree tree(&budget);
  CHECK(tree.Add(0, Short("a/b/c"), true).Ok());
  const Inode& made = *tree.Root().children.at("a")->children.at("b")->inode;
  CHECK(made.mode == 0755 && made.uid == 0 && made.gid == 0 && made.mtime == 0);
  // Named later, it is what its entry says, and keeps what is in it.
  CHECK(tree.Add(0, Short("a/b/"), true).Ok());
  const Node& named = *tree.Root().children.at("a")->children.at("b");
  CHECK(named.inode->mode == 0700 && named.children.count("c") == 1);
}

TEST(what_no_file_system_can_have_is_refused) {
  CHECK(Merge({{"a", "a/b"}}) == "! a/b: it lies below a, which is no folder");
  CHECK(Merge({{"a"}, {"a/b"}}) == "! a/b: it lies below a, which is no folder");
  CHECK(Merge({{"a=a"}}) == "! a: it is a hard link to a, which is not there");
  CHECK(Merge({{"a", "a=./a"}}) == "! a: it is a hard link to itself");
  CHECK(Merge({{"d/", "l>d", "d/x", "l/x=d/x"}}) == "! l/x: it is a hard link to itself");
  CHECK(Merge({{"d/", "a=d"}}) == "! a: it is a hard link to a folder");
  CHECK(Merge({{".wh."}}) == "! .wh.: it is a whiteout of no name");
  CHECK(Merge({{"x/.wh..."}}) == "! x/.wh...: it is a whiteout of no name");
  CHECK(Merge({{".wh.d/x"}}) == "! .wh.d/x: it lies below a whiteout");
}

TEST(replaced_and_hidden_names_count_no_less) {
  ImageLimits limits;
  limits.entries = 3;
  CHECK(Merge({{"a/b/c/d"}}, true, limits) == "a/@0i a/b/@0i a/b/c/@0i a/b/c/d@0 ");
  CHECK(Merge({{"a/b/c/d"}, {".wh.a"}, {"e/f"}}, true, limits) == "! e/f: more than 3 entries in all");
}

RUN_TESTS()
