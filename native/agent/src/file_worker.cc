#include "file_worker.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "file_calls.h"
#include "file_channel.h"
#include "file_content.h"
#include "file_folders.h"
#include "file_tree.h"
#include "file_watch.h"

namespace microvm::agent {
namespace {

constexpr int kBrokenRequest = 2;

class FileWorker {
 public:
  int Run() {
    for (;;) {
      FileRequest request;
      switch (channel_.Receive(&request)) {
        case FileChannel::Got::kEnd:
          return 0;
        case FileChannel::Got::kBroken:
          return kBrokenRequest;
        case FileChannel::Got::kMessage:
          if (!Serve(request)) return kBrokenRequest;
      }
    }
  }

 private:
  // False: the request has no place here.
  bool Serve(const FileRequest& request) {
    if (is_skipping_ || writer_) return ServeWrite(request);
    const bool needs_file = request.target == FileTarget::kOpenFile || request.op == FileOp::kRead ||
                            request.op == FileOp::kWrite || request.op == FileOp::kSync ||
                            request.op == FileOp::kClose;
    if (needs_file && !file_) return channel_.Answer({EBADF, "fstat", {}});
    FileFailure failure;
    Bytes done;
    if (RunFileCall(request, file_.Get(), &failure, &done)) return channel_.Answer(failure, done);
    switch (request.op) {
      case FileOp::kReaddir:
        return channel_.Answer(ListFolder(request.path, request.options != 0, &channel_));
      case FileOp::kRm:
        return channel_.Answer(RemovePath(request.path, (request.options & kRmRecursive) != 0,
                                          (request.options & kRmForce) != 0));
      case FileOp::kReadFile:
        return channel_.Answer(ReadContent(request, &channel_));
      case FileOp::kReceiveTree:
        return ReceiveTree(request, &channel_);
      case FileOp::kWatch:
        return WatchPath(request, &channel_);
      case FileOp::kSendTree:
        return SendTree(request, &channel_);
      case FileOp::kWriteFile:
        writer_.emplace();
        return SettleWrite(writer_->Begin(request));
      default:
        return ServeOpenFile(request);
    }
  }

  bool ServeOpenFile(const FileRequest& request) {
    switch (request.op) {
      case FileOp::kOpen:
        if (file_) return false;
        file_ =
            UniqueFd(open(request.path.c_str(), static_cast<int>(request.flags) | O_CLOEXEC, request.mode));
        return channel_.Answer(file_ ? Success() : Failed("open"));
      case FileOp::kRead:
        return channel_.Answer(ReadOpenFile(file_.Get(), request.position, request.length, &channel_));
      case FileOp::kWrite:
        return channel_.Answer(WriteOpenFile(file_.Get(), request.position, request.data));
      case FileOp::kSync: {
        const bool is_data = request.options != 0;
        const int result = is_data ? fdatasync(file_.Get()) : fsync(file_.Get());
        return channel_.Answer(result == 0 ? Success() : Failed(is_data ? "fdatasync" : "fsync"));
      }
      case FileOp::kClose:
        return channel_.Answer(close(file_.Release()) == 0 ? Success() : Failed("close"));
      default:
        return false;
    }
  }

  bool ServeWrite(const FileRequest& request) {
    const bool is_last = request.op == FileOp::kCommit;
    if (!is_last && request.op != FileOp::kData) return false;
    if (is_skipping_) {
      is_skipping_ = !is_last;
      return true;
    }
    if (!is_last) return SettleWrite(writer_->Write(request.data));
    const FileFailure failure = writer_->Commit();
    writer_.reset();
    return channel_.Answer(failure);
  }

  // A write that failed is told of at once; what still comes of it is thrown away.
  bool SettleWrite(const FileFailure& failure) {
    if (!failure) return true;
    writer_.reset();
    is_skipping_ = true;
    return channel_.Answer(failure);
  }

  FileChannel channel_;
  UniqueFd file_;
  std::optional<ContentWriter> writer_;
  bool is_skipping_ = false;
};

}  // namespace

int RunFileWorker() {
  prctl(PR_SET_NAME, "microvm-files");
  FileWorker worker;
  return worker.Run();
}

}  // namespace microvm::agent
