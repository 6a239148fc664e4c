#include "core/image/output_pipe.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace microvm::core::image {
namespace {

// A halt has no descriptor to wait for.
constexpr int kPatienceMs = 20;

sigset_t PipeSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  return set;
}

}  // namespace

OutputPipe::OutputPipe(int fd, const Halt* halt) : fd_(fd), halt_(halt) {
  const int flags = fcntl(fd_, F_GETFL);
  if (flags >= 0) static_cast<void>(fcntl(fd_, F_SETFL, flags | O_NONBLOCK));
  const sigset_t pipe = PipeSignal();
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  was_blocked_ = sigismember(&before, SIGPIPE) == 1;
}

OutputPipe::~OutputPipe() {
  const sigset_t pipe = PipeSignal();
  if (!was_blocked_) pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
}

ImageStatus OutputPipe::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    auto halted = halt_->Check();
    if (!halted.Ok()) return halted;
    const ssize_t count = write(fd_, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
      count_ += static_cast<uint64_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      const auto failed = SysError::Last("write");
      // The signal of a broken pipe waits for this thread; nobody else is to meet it.
      const sigset_t pipe = PipeSignal();
      const timespec at_once{};
      if (failed.number == EPIPE) static_cast<void>(sigtimedwait(&pipe, nullptr, &at_once));
      return failed;
    }
    auto awaited = Await();
    if (!awaited.Ok()) return awaited;
  }
  return {};
}

ImageStatus OutputPipe::Await() {
  pollfd waiting{fd_, POLLOUT, 0};
  if (poll(&waiting, 1, kPatienceMs) < 0 && errno != EINTR) return SysError::Last("poll");
  return {};
}

}  // namespace microvm::core::image
