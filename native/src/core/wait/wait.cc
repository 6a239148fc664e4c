#include "core/wait/wait.h"

#include "core/process_wait.h"

namespace microvm::core {
namespace {

using Moment = WaitLoop::Clock::time_point;

const char* StageText(WaitStage stage) {
  switch (stage) {
    case WaitStage::kNoSocket:
      return "there is no socket";
    case WaitStage::kRefused:
      return "the socket refuses connections";
    case WaitStage::kNoAnswer:
      return "accepted, but no answer";
    case WaitStage::kClosed:
      return "accepted and closed without an answer";
    case WaitStage::kNoConnection:
      return "nobody has connected";
  }
  return "";
}

std::optional<Moment> Deadline(const WaitRequest& request) {
  if (!request.limit) return std::nullopt;
  return WaitLoop::Clock::now() + *request.limit;
}

}  // namespace

Wait::Wait(WaitLoop* loop, WaitRequest request, WaitStage stage, OnEnd on_end)
    : loop_(loop),
      request_(std::move(request)),
      stage_(stage),
      on_end_(std::move(on_end)),
      deadline_(Deadline(request_)) {}

std::shared_ptr<Wait> Wait::Take(std::shared_ptr<Wait> wait) {
  wait->loop_->Post([wait] { wait->Begin(); });
  return wait;
}

void Wait::Cancel() {
  loop_->Post([self = shared_from_this()] { self->FinishWith(ECANCELED); });
}

void Wait::Begin() {
  if (HasEnded()) return;
  if (deadline_) limit_ = loop_->At(*deadline_, [self = shared_from_this()] { self->FinishWith(ETIMEDOUT); });
  if (request_.process) WatchProcess();
  if (!HasEnded()) Start();
}

void Wait::WatchProcess() {
  auto pidfd = OpenPidfd(*request_.process);
  if (!pidfd.Ok()) return Finish(pidfd.Error());
  if (!pidfd.Value()) return FinishWith(ESRCH);
  pidfd_ = std::move(*pidfd.Value());
  auto exit = loop_->WhenReadable(pidfd_.Get(), [self = shared_from_this()] { self->FinishWith(ESRCH); });
  if (!exit.Ok()) return Finish(exit.Error());
  exit_ = std::move(exit.Value());
}

void Wait::FinishWith(int number) {
  Finish(SysError{number, Syscall(), request_.path, {}, StageText(stage_)});
}

void Wait::Finish(Result<UniqueFd> socket) {
  if (HasEnded()) return;
  // What runs right now may be owned by a subscription that ends here.
  const auto self = shared_from_this();
  exit_.End();
  limit_.End();
  pidfd_.Reset();
  Release();
  const OnEnd on_end = std::exchange(on_end_, nullptr);
  on_end(WaitEnd{std::move(socket), stage_, attempts_});
}

}  // namespace microvm::core
