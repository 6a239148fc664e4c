#include "file_tree.h"

#include <cerrno>

#include "tree_receiver.h"
#include "tree_sender.h"

namespace microvm::agent {
namespace {

// What is written to the agent at once: several messages of small files.
constexpr size_t kBatch = 128 * 1024;

}  // namespace

bool ReceiveTree(const FileRequest& request, FileChannel* channel) {
  // The host is trusted: its own sender bounds what there is.
  tree::Receiver receiver(request.path, {(request.options & kTreeOwners) != 0,
                                         (request.options & kTreeDevices) != 0, UINT64_MAX, UINT64_MAX});
  while (!receiver.ended()) {
    uint8_t type = 0;
    const uint8_t* body = nullptr;
    size_t size = 0;
    if (channel->ReceiveMessage(&type, &body, &size) != FileChannel::Got::kMessage) return false;
    const FileFailure failure = receiver.Take(type, body, size);
    if (failure.error == EPROTO) return false;
    // The host learns of it while it sends, and ends its side then.
    if (failure) return channel->Answer(failure) && channel->Drain();
  }
  const tree::Receiver::Counts& counts = receiver.counts();
  PayloadWriter done;
  return channel->Answer({}, done.U64(counts.entries).U64(counts.bytes).U64(counts.skipped).bytes());
}

bool SendTree(const FileRequest& request, FileChannel* channel) {
  tree::Sender sender(request.path, {(request.options & kTreeHardLinks) != 0});
  Bytes batch;
  batch.reserve(2 * kBatch);
  while (!sender.ended()) {
    batch.clear();
    const FileFailure failure = sender.Fill(kBatch, &batch);
    if (!WriteAll(1, batch.data(), batch.size())) return false;
    if (failure) return channel->Answer(failure);
  }
  return channel->Answer({});
}

}  // namespace microvm::agent
