#include "binding/mailbox.h"

#include <algorithm>

#include "core/thread.h"

namespace microvm::binding {

std::shared_ptr<Mailbox> Mailbox::Create(Napi::Env env) {
  auto mailbox = std::make_shared<Mailbox>();
  // The thread-safe function owns one reference until Finalize.
  auto owned = std::make_unique<std::shared_ptr<Mailbox>>(mailbox);
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "microvm"), 0, 1, nullptr,
                                      Finalize, owned.get(), Deliver, &mailbox->function_);
  if (status != napi_ok) {
    Napi::Error::New(env, "cannot make a thread-safe function").ThrowAsJavaScriptException();
    return nullptr;
  }
  static_cast<void>(owned.release());
  napi_unref_threadsafe_function(env, mailbox->function_);
  return mailbox;
}

void Mailbox::Post(Task task) {
  const std::lock_guard lock(mutex_);
  if (is_closed_) return;
  tasks_.push_back(std::move(task));
  // Called with the lock held: Finalize takes it before Node frees the function.
  if (tasks_.size() == 1) napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Mailbox::Hold(Napi::Env env) {
  if (holds_++ == 0) napi_ref_threadsafe_function(env, function_);
}

void Mailbox::Drop(Napi::Env env) {
  if (--holds_ == 0) napi_unref_threadsafe_function(env, function_);
}

core::Status Mailbox::RunOnThread(core::JobQueue* queue, core::JobQueue::Job job) {
  {
    const std::lock_guard lock(mutex_);
    running_.push_back({queue, job.cancellation});
  }
  const auto end = [self = shared_from_this(), cancellation = job.cancellation] {
    const std::lock_guard lock(self->mutex_);
    self->running_.erase(self->Find(cancellation.get()));
    self->thread_ended_.notify_all();
  };
  job.work = [work = std::move(job.work), end] {
    work();
    end();
  };
  auto started =
      queue != nullptr ? queue->Add(std::move(job)) : core::StartThread(job.thread_name, std::move(job.work));
  if (!started.Ok()) end();
  return started;
}

void Mailbox::Hasten(const core::Cancellation* cancellation) {
  core::JobQueue* queue = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto running = Find(cancellation);
    if (running != running_.end()) queue = running->queue;
  }
  if (queue == nullptr) return;
  if (const auto job = queue->Withdraw(cancellation)) job->work();
}

// With the lock held.
std::vector<Mailbox::Running>::iterator Mailbox::Find(const core::Cancellation* cancellation) {
  return std::find_if(running_.begin(), running_.end(), [cancellation](const Running& running) {
    return running.cancellation.get() == cancellation;
  });
}

void Mailbox::Deliver(napi_env env, napi_value, void* context, void*) {
  // SAFETY: the context is what Create handed over, alive until Finalize. A null env means that it ends soon.
  auto* mailbox = static_cast<std::shared_ptr<Mailbox>*>(context)->get();
  if (env != nullptr) mailbox->RunTasks(Napi::Env(env));
}

void Mailbox::RunTasks(Napi::Env env) {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const Task& task : tasks) {
    const Napi::HandleScope scope(env);
    task(env);
    // A callback of the caller threw: as in Node's own callbacks, that is an uncaught exception.
    if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
  }
}

void Mailbox::Finalize(napi_env, void*, void* context) {
  // SAFETY: ends the ownership that Create gave to the thread-safe function.
  const std::unique_ptr<std::shared_ptr<Mailbox>> owned(static_cast<std::shared_ptr<Mailbox>*>(context));
  (*owned)->Close();
}

void Mailbox::Close() {
  std::vector<Task> dropped;
  std::vector<core::JobQueue::Job> withdrawn;
  std::unique_lock lock(mutex_);
  is_closed_ = true;
  dropped.swap(tasks_);
  std::vector<Running> begun;
  for (const Running& running : running_) {
    running.cancellation->Cancel();
    auto job = running.queue != nullptr ? running.queue->Withdraw(running.cancellation.get()) : std::nullopt;
    if (job) {
      withdrawn.push_back(std::move(*job));
    } else {
      begun.push_back(running);
    }
  }
  running_.swap(begun);
  thread_ended_.wait(lock, [this] { return running_.empty(); });
}

}  // namespace microvm::binding
