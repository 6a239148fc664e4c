#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "core/result.h"
#include "tree_receiver.h"
#include "tree_sender.h"

namespace microvm::core {

SysError ErrorOf(const FileFailure& failure, const std::string& root);

// Messages of a tree, cut out of a stream of bytes, and written below a folder. Any thread, one at a time.
class TreeFeed {
 public:
  struct State {
    tree::Receiver::Counts counts;
    bool ended = false;
  };

  TreeFeed(std::string target, const tree::Receiver::Options& options)
      : target_(target), receiver_(std::move(target), options) {}

  // The next bytes of the stream. After a failure it always fails.
  Result<State> Feed(const std::string& bytes);

 private:
  FileFailure Take(const uint8_t* data, size_t size, size_t* taken);

  std::mutex mutex_;
  std::string target_;
  tree::Receiver receiver_;
  Bytes rest_;  // the begin of a message
  FileFailure failure_;
};

// The messages of a tree, a piece at a time. Any thread, one at a time.
class TreeSource {
 public:
  TreeSource(std::string path, tree::Sender::Options options)
      : path_(path), sender_(std::move(path), options) {}

  // Empty at the end.
  Result<Bytes> Read();

 private:
  std::mutex mutex_;
  std::string path_;
  tree::Sender sender_;
};

}  // namespace microvm::core
